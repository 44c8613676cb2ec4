/** The usage log as a stream of bytes that reads on only as fast as the caller takes it. */
import { EpithreError } from "#shared/errors.ts";
import { headerLine, timedRecords } from "./records.ts";
import type { Page, PageAfter } from "./usage-pages.ts";

/** Milliseconds. A caller that has not taken all by then gives its place to others, and goes on by cursor. */
const streamMsMax = 15 * 60_000;

export interface UsageStreamOptions {
  firstPage: Page;
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
  let next: Promise<Page> | undefined;
  let timer: NodeJS.Timeout;

  function end(): void {
    clearTimeout(timer);
    onEnd();
  }

  /** Asks for the next page before anything is made of this one: the database works meanwhile. */
  function readOn({ endId }: Page): void {
    next = endId === null ? undefined : pageAfter(endId);
    next?.catch(() => {});
  }

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        timer = setTimeout(() => {
          end();
          controller.error(new EpithreError("unavailable", "Cannot go on with this export: it took too long"));
        }, timeoutMs);
      },
      async pull(controller) {
        try {
          const bytes = next ? await nextBytes() : firstBytes();
          if (bytes.length > 0) controller.enqueue(bytes);
          if (next) return;
          end();
          controller.close();
        } catch (thrown) {
          end();
          throw thrown;
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );

  function firstBytes(): Buffer {
    readOn(firstPage);
    return Buffer.concat([headerLine, timedRecords(firstPage.found).bytes]);
  }

  /** Of the next page that has any; none of the last one where it has none. */
  async function nextBytes(): Promise<Buffer> {
    let bytes: Buffer = Buffer.alloc(0);
    while (next && bytes.length === 0) {
      const page = await next;
      readOn(page);
      bytes = timedRecords(page.found).bytes;
    }
    return bytes;
  }
}
