/**
 * Stands in for S3-compatible storage on this machine: as much of its API as shared/object-store.ts uses, files in a
 * folder, on loopback only, for one login. It looks at who calls, but not at signatures: test/system/object-store runs the
 * same code against a real server.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

export interface ObjectStorePlace {
  url: string;
  bucket: string;
  /** `ACCESS-KEY:SECRET` */
  login: string;
}

export interface LocalObjectStore extends ObjectStorePlace {
  close(): Promise<void>;
}

/** Bytes of a list of parts: 10,000 of them. */
const listBytesMax = 2 * 1024 * 1024;

const bucket = "epithre";

/** What S3 calls what is wrong, and its status. */
class Refused extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, status: number) {
    super(code);
    this.code = code;
    this.status = status;
  }
}

interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  /** Empty for the bucket itself. */
  key: string;
  query: URLSearchParams;
}

export async function startObjectStore(folder: string, secret: string): Promise<LocalObjectStore> {
  const [objects, uploads] = [join(folder, "objects"), join(folder, "uploads")];
  for (const each of [objects, uploads]) await mkdir(each, { recursive: true, mode: 0o700 });
  const accessKey = "epithre-local";
  // Not even a key of dots leads out of the folder.
  const fileOf = (key: string) => join(objects, encodeURIComponent(key).replaceAll(".", "%2E"));

  /** Its folder, which has the parts and the key. */
  function uploadFolder({ query }: Call): string {
    const id = query.get("uploadId") ?? "";
    const place = join(uploads, id);
    if (!/^[0-9a-f]{32}$/.test(id) || !existsSync(place)) throw new Refused("NoSuchUpload", 404);
    return place;
  }

  async function begin({ response, key }: Call): Promise<void> {
    const id = randomBytes(16).toString("hex");
    await mkdir(join(uploads, id), { mode: 0o700 });
    await writeFile(join(uploads, id, "key"), key);
    answer(response, `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
  }

  async function putPart(call: Call): Promise<void> {
    const part = join(uploadFolder(call), `part-${Number(call.query.get("partNumber"))}`);
    const digest = createHash("md5");
    call.request.on("data", (bytes: Buffer) => digest.update(bytes));
    await pipeline(call.request, createWriteStream(`${part}.unfinished`, { mode: 0o600 }));
    const etag = `"${digest.digest("hex")}"`;
    await rename(`${part}.unfinished`, part);
    await writeFile(`${part}.etag`, etag);
    call.response.writeHead(200, { etag }).end();
  }

  async function complete(call: Call): Promise<void> {
    const place = uploadFolder(call);
    const named = [...(await textOf(call.request)).matchAll(/<ETag>(?:&quot;|")?(\w+)(?:&quot;|")?<\/ETag>\s*<PartNumber>(\d+)<\/PartNumber>/g)];
    const whole = join(place, "whole");
    await writeFile(whole, "", { mode: 0o600 });
    for (const [, etag, part] of named) {
      const known = await readFile(join(place, `part-${part}.etag`), "utf8").catch(() => "");
      if (known !== `"${etag}"`) throw new Refused("InvalidPart", 400);
      await pipeline(createReadStream(join(place, `part-${part}`)), createWriteStream(whole, { flags: "a" }));
    }
    if (named.length === 0) throw new Refused("InvalidPart", 400);
    await rename(whole, fileOf(await readFile(join(place, "key"), "utf8")));
    await rm(place, { recursive: true });
    answer(call.response, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>");
  }

  async function end(call: Call): Promise<void> {
    await rm(uploadFolder(call), { recursive: true });
    call.response.writeHead(204).end();
  }

  async function listUploads({ response, query }: Call): Promise<void> {
    const ids = await readdir(uploads);
    const all = await Promise.all(ids.map(async (id) => ({ id, key: await readFile(join(uploads, id, "key"), "utf8") })));
    const found = all.filter(({ key }) => key.startsWith(query.get("prefix") ?? ""));
    answer(response, `<ListMultipartUploadsResult>${found.map(({ id, key }) => `<Upload><Key>${key}</Key><UploadId>${id}</UploadId></Upload>`).join("")}</ListMultipartUploadsResult>`);
  }

  async function list({ response, query }: Call): Promise<void> {
    const [prefix, after, most] = [query.get("prefix") ?? "", query.get("start-after") ?? "", Number(query.get("max-keys") ?? 1_000)];
    const keys = (await readdir(objects)).map(decodeURIComponent).filter((key) => key.startsWith(prefix) && key > after).sort();
    answer(response, `<ListBucketResult>${keys.slice(0, most).map((key) => `<Contents><Key>${key}</Key></Contents>`).join("")}</ListBucketResult>`);
  }

  async function read({ request, response, key }: Call): Promise<void> {
    const { size } = await stat(fileOf(key)).catch(() => {
      throw new Refused("NoSuchKey", 404);
    });
    const [, from = "0", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const [start, last] = [Number(from), Math.min(to === "" ? size : Number(to), size - 1)];
    const part = request.headers.range ? { "content-range": `bytes ${start}-${last}/${size}` } : {};
    response.writeHead(request.headers.range ? 206 : 200, { ...part, "content-length": String(last - start + 1) });
    if (request.method === "HEAD") response.end();
    else await pipeline(createReadStream(fileOf(key), { start, end: last }), response);
  }

  async function remove({ response, key }: Call): Promise<void> {
    await rm(fileOf(key), { force: true });
    response.writeHead(204).end();
  }

  function workFor({ request: { method }, key, query }: Call): ((call: Call) => Promise<void>) | undefined {
    if (key === "") return method === "GET" ? (query.has("uploads") ? listUploads : list) : undefined;
    if (method === "POST") return query.has("uploads") ? begin : complete;
    if (method === "PUT") return query.has("uploadId") ? putPart : undefined;
    if (method === "DELETE") return query.has("uploadId") ? end : remove;
    return method === "GET" || method === "HEAD" ? read : undefined;
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (!request.headers.authorization?.includes(`Credential=${accessKey}/`)) throw new Refused("AccessDenied", 403);
      const { pathname, searchParams: query } = new URL(request.url!, "http://store");
      const [, name, ...rest] = pathname.split("/");
      if (name !== bucket) throw new Refused("NoSuchBucket", 404);
      const call = { request, response, key: decodeURIComponent(rest.join("/")), query };
      const work = workFor(call);
      if (!work) throw new Refused("NotImplemented", 501);
      await work(call);
    } catch (thrown) {
      const { code, status } = thrown instanceof Refused ? thrown : new Refused("InternalError", 500);
      if (response.headersSent) response.destroy();
      else answer(response, `<Error><Code>${code}</Code></Error>`, status);
    }
  }

  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((settle, fail) => server.once("error", fail).listen(0, "127.0.0.1", settle));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bucket,
    login: `${accessKey}:${secret}`,
    async close() {
      server.closeAllConnections();
      await new Promise((settle) => server.close(settle));
    },
  };
}

function answer(response: ServerResponse, xml: string, status = 200): void {
  response.writeHead(status, { "content-type": "application/xml" }).end(`<?xml version="1.0" encoding="UTF-8"?>${xml}`);
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) {
    text += piece;
    if (text.length > listBytesMax) throw new Refused("EntityTooLarge", 400);
  }
  return text;
}
