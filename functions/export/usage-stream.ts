/** The usage log as a stream of bytes that reads on only as fast as the caller takes it. */
import { EpithreError } from "#shared/errors.ts";
import { headerLine } from "./records.ts";
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
  let page = firstPage;
  let heading: Buffer | undefined = headerLine;
  let timer: NodeJS.Timeout;
  let isOver = false;

  function end(): void {
    isOver = true;
    clearTimeout(timer);
    onEnd();
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
        controller.enqueue(heading ? Buffer.concat([heading, page.found]) : page.found);
        heading = undefined;
        try {
          do {
            if (page.endId === null) {
              end();
              controller.close();
              return;
            }
            page = await pageAfter(page.endId);
          } while (page.found.length === 0 && !isOver);
        } catch (thrown) {
          end();
          throw thrown;
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}
