/** The usage log as a stream of bytes that reads on only as fast as the caller takes it. */
import { lineEnd } from "#shared/csv.ts";
import { EpithreError } from "#shared/errors.ts";
import { header, record } from "./records.ts";
import type { UsageRow } from "./schema.ts";
import type { PageAfter } from "./usage-pages.ts";

/** Milliseconds. A caller that has not taken all by then gives its place to others, and goes on by cursor. */
const streamMsMax = 15 * 60_000;

export interface UsageStreamOptions {
  firstPage: UsageRow[];
  pageAfter: PageAfter;
  /** Nothing more will be read. */
  onEnd(): void;
  timeoutMs?: number;
}

/**
 * Two pages at most are in memory: the one that the caller takes and the next. When one cannot be read the stream
 * errors, so that the response breaks off: a clean end would say that this was all (right.export).
 */
export function streamUsage({ firstPage, pageAfter, onEnd, timeoutMs = streamMsMax }: UsageStreamOptions): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let page = firstPage;
  let heading = [header];
  let timer: NodeJS.Timeout;

  function end(): void {
    clearTimeout(timer);
    onEnd();
  }

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        timer = setTimeout(() => {
          onEnd();
          controller.error(new EpithreError("unavailable", "Cannot go on with this export: it took too long"));
        }, timeoutMs);
      },
      async pull(controller) {
        const records = [...heading, ...page.map(record)];
        controller.enqueue(encoder.encode(records.map((text) => text + lineEnd).join("")));
        heading = [];
        const lastId = page.at(-1)?.id;
        try {
          page = lastId === undefined ? [] : await pageAfter(lastId);
        } catch (thrown) {
          end();
          throw thrown;
        }
        if (page.length > 0) return;
        end();
        controller.close();
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}
