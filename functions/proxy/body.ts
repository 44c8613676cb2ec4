/** Reading request bodies: bounded one by one and all together, in memory only (content.images: no spooling). */
import type { IncomingMessage } from "node:http";
import { EpithreError } from "#shared/errors.ts";
import type { Endpoint } from "./routes.ts";

/** Bytes. Largest JSON body: 8 images of 2 MiB in base64 fit. */
const jsonBytesMax = 24 * 1024 * 1024;
/** Bytes. Largest form: 16 images of 3 MiB fit. */
const formBytesMax = 48 * 1024 * 1024;

export const bodyBytesMax = Math.max(jsonBytesMax, formBytesMax);

/** Share of the budget that one account may hold: its stalled uploads do not keep the others out. */
const accountShareMax = 0.5;
/** Bytes that no budget is asked for: most requests are smaller, and must get through beside large ones. */
const freeBytes = 64 * 1024;

/** All bodies that a process holds at once. */
export interface BodyBudget {
  /** Throws `overloaded` when the bytes do not fit now, all together or for this account. */
  take(accountId: string, bytes: number): void;
  giveBack(accountId: string, bytes: number): void;
  readonly usedBytes: number;
}

export function createBodyBudget(bytesMax: number): BodyBudget {
  let used = 0;
  const usedBy = new Map<string, number>();
  return {
    take(accountId, bytes) {
      const own = (usedBy.get(accountId) ?? 0) + bytes;
      if (used + bytes > bytesMax || own > bytesMax * accountShareMax) {
        throw new EpithreError("overloaded", "Cannot take this body now: too many large requests at once. Try again.", {
          retryAfterS: 1,
        });
      }
      used += bytes;
      usedBy.set(accountId, own);
    },
    giveBack(accountId, bytes) {
      used -= bytes;
      const left = (usedBy.get(accountId) ?? 0) - bytes;
      if (left > 0) usedBy.set(accountId, left);
      else usedBy.delete(accountId);
    },
    get usedBytes() {
      return used;
    },
  };
}

export interface HeldBody {
  bytes: Buffer;
  /** Gives the budget back; call once the body has left for the backend. */
  release(): void;
}

/**
 * Throws `unsupported_media_type`, `unsupported_encoding`, `body_too_large`, `overloaded`, or `invalid_request` when
 * the caller leaves before the end.
 */
export async function readBody(
  request: IncomingMessage,
  endpoint: Endpoint,
  budget: BodyBudget,
  accountId: string,
): Promise<HeldBody> {
  checkHeaders(request, endpoint);
  const bytesMax = endpoint.body === "json" ? jsonBytesMax : formBytesMax;
  const tooLarge = () =>
    new EpithreError("body_too_large", `Cannot take this body: the limit is ${bytesMax / 1024 / 1024} MiB`);
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > bytesMax) throw tooLarge();
  let taken = 0;
  let bytes = 0;
  const release = () => {
    budget.giveBack(accountId, taken);
    taken = 0;
  };
  const chunks: Buffer[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      request.on("data", (chunk: Buffer) => {
        try {
          bytes += chunk.length;
          if (bytes > bytesMax) throw tooLarge();
          if (bytes > freeBytes) {
            budget.take(accountId, bytes - taken);
            taken = bytes;
          }
          chunks.push(chunk);
        } catch (thrown) {
          request.removeAllListeners("data");
          reject(thrown as Error);
        }
      });
      const left = () => reject(new EpithreError("invalid_request", "Cannot read body: the connection closed before its end"));
      request.once("close", left);
      request.once("end", () => {
        request.off("close", left);
        resolve();
      });
    });
  } catch (thrown) {
    release();
    throw thrown;
  }
  return { bytes: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks), release };
}

function checkHeaders(request: IncomingMessage, endpoint: Endpoint): void {
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity") {
    throw new EpithreError("unsupported_encoding", "Cannot read a compressed body: send it without content-encoding");
  }
  const type = request.headers["content-type"] ?? "";
  if (endpoint.body === "json" && !/^application\/json\s*(;|$)/i.test(type)) {
    throw new EpithreError("unsupported_media_type", "Cannot read body: send it with content-type application/json");
  }
}
