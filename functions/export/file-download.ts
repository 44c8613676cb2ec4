/**
 * GET /v1/usage/exports/{id}/{token}: hands out a file that was built in the background, from the store, which nobody else
 * reaches (path.lan). The link is all that it takes, so that a browser can follow it; it ends soon.
 */
import { Readable } from "node:stream";
import { EpithreError } from "#shared/errors.ts";
import { type ByteRange, ObjectStoreAway } from "#shared/object-store.ts";
import { openExport } from "./file-queries.ts";
import { hashOfToken } from "./file-routes.ts";
import type { Parts } from "./parts.ts";
import { RequestId } from "./schema.ts";

/** Milliseconds. A caller that has not taken all by then goes on by `range`. */
const downloadMsMax = 15 * 60_000;

const fileHeaders = {
  "content-type": "text/csv; charset=utf-8; header=present",
  "content-disposition": 'attachment; filename="epithre-usage.csv"',
  "accept-ranges": "bytes",
  // The address is a secret.
  "referrer-policy": "no-referrer",
};

export interface Download {
  id: string;
  token: string;
  headers: Headers;
  signal: AbortSignal;
}

export function createFileDownload({ database, store, downloads }: Parts) {
  return async function download({ id: text, token, headers, signal }: Download): Promise<Response> {
    const id = RequestId.safeParse(text);
    if (!id.success) throw unknownLink();
    const accountId = await database.run((sql) => openExport(sql, id.data, hashOfToken(token)));
    if (accountId === undefined) throw unknownLink();

    const leaveSeat = downloads.take(accountId);
    signal.addEventListener("abort", leaveSeat);
    try {
      const bytes = await store.sizeOf(id.data);
      if (bytes === undefined) throw unknownLink();
      const range = readRange(headers.get("range"), bytes);
      const file = await store.read(id.data, range);
      if (!file) throw unknownLink();
      signal.addEventListener("abort", () => file.destroy());
      const timer = setTimeout(() => file.destroy(new EpithreError("unavailable", "Cannot go on with this download: it took too long")), downloadMsMax);
      file.once("close", () => {
        clearTimeout(timer);
        leaveSeat();
      });
      const body = Readable.toWeb(file) as ReadableStream<Uint8Array>;
      const length = range ? range.to - range.from + 1 : bytes;
      const part: Record<string, string> = range ? { "content-range": `bytes ${range.from}-${range.to}/${bytes}` } : {};
      return new Response(body, { status: range ? 206 : 200, headers: { ...fileHeaders, ...part, "content-length": String(length) } });
    } catch (thrown) {
      leaveSeat();
      throw thrown instanceof ObjectStoreAway ? storeAway() : thrown;
    }
  };
}

/** One range from a byte on, as a broken download asks for it; any other header is as none (RFC 9110, section 14.2). */
function readRange(header: string | null, bytes: number): ByteRange | undefined {
  const [, from, to] = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(header ?? "") ?? [];
  if (from === undefined || Number(from) >= bytes) return undefined;
  const last = to === "" ? bytes - 1 : Math.min(Number(to), bytes - 1);
  return last < Number(from) ? undefined : { from: Number(from), to: last };
}

/** The same whether it never was, has ended, or was replaced by another. */
const unknownLink = () =>
  new EpithreError("not_found", "Cannot find this file: its link has ended, or was replaced; ask for another at POST /v1/usage/exports/{id}/link");

const storeAway = () => new EpithreError("unavailable", "Cannot hand out this file now: the object store does not answer", { retryAfterS: 10 });
