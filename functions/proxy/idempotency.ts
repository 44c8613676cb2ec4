/**
 * `Idempotency-Key`: what ended with effect is not run again under the same header (infra/decisions/0008-idempotency.md).
 * The header's value goes no further than this file, which makes a keyed digest of it.
 */
import { createHmac } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import type { Clock } from "#shared/clock.ts";
import { daysThatCount, digestKeyOf, type DigestChain } from "#shared/digest-chain.ts";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import { formatRupiah } from "#shared/money.ts";
import { ClaimAnswer, claimsPerHourMax, type ClaimRequest } from "../usage-record/schema.ts";
import type { Hold } from "./leases.ts";

/** Characters of the header: a UUID has 36, and some put a name before it. */
const keyCharactersMax = 255;
/** Milliseconds that the settlement of an ended call can take until it is known or given up, and room. */
const settlingMsMax = 30_000;
/** Milliseconds for one call to usage-record. */
const callTimeoutMs = 2_500;
/** Milliseconds after which one that seems to run is looked at again: one that has just failed is about to be settled. */
const secondLookMs = 250;
/** Seconds after which it makes sense to ask again about one that runs. */
const inProgressRetryS = 5;
/** Tries at giving a claim back, and milliseconds between them; after that it ends with its lease. */
const releaseTriesMax = 5;
const releaseRetryMs = 500;

/** The header's value. Throws `invalid_request` when it is empty or too long. */
export function idempotencyKeyIn(headers: IncomingHttpHeaders): string | undefined {
  const value = headers["idempotency-key"] as string | undefined;
  if (value === undefined || (value.length > 0 && value.length <= keyCharactersMax)) return value;
  const state = value.length === 0 ? "it is empty" : `${value.length} characters, ${keyCharactersMax} allowed`;
  throw new EpithreError("invalid_request", `Cannot take this Idempotency-Key: ${state}. Send a random value, such as a UUID, or no such header.`);
}

/** What the header's value is called on the days that count, today's name first. */
export type DigestsOf = (accountId: string, value: string) => string[];

/** Keys kept in memory: those of the days that count, and of days to which a clock had jumped. */
const dayKeysMax = 8;

export function createDigests(chain: DigestChain, clock: Clock): DigestsOf {
  const keys = new Map<number, Buffer | undefined>();

  function keyOf(day: number): Buffer | undefined {
    if (!keys.has(day)) {
      if (keys.size >= dayKeysMax) keys.clear();
      keys.set(day, digestKeyOf(chain, day));
    }
    return keys.get(day);
  }

  return function digestsOf(accountId, value) {
    const [today, ...others] = daysThatCount(clock.wallMs()).map(keyOf);
    if (!today) throw new EpithreError("unavailable", "Cannot take an Idempotency-Key now: the server's clock is wrong", { retryAfterS: 60 });
    // Headers are Latin-1: one byte a character. The account's id is of one length, so the two cannot be mixed up.
    return [today, ...others.filter((key) => key !== undefined)].map((key) =>
      createHmac("sha256", key).update(accountId).update(value, "latin1").digest("hex"),
    );
  };
}

/** What a claim says of its request beside digests, lease and time. */
export type Claimant = Omit<ClaimRequest, "digests" | "leaseId" | "runsMs">;

export interface Claim {
  /**
   * Takes the hold, then the claim with it: a claim lives as long as its request's lease does. Throws
   * `idempotent_replay` or `idempotency_in_progress` when the header was used before, whether or not there is money.
   */
  hold(take: () => Hold | Promise<Hold>): Promise<Hold>;
  /** The request had no effect and is not recorded: its retry is a new one. */
  release(): void;
}

export interface ClaimsDeps {
  usageRecord: InternalClient;
  digestsOf: DigestsOf;
  streamLimitMs: number;
}

export type Claims = (claimant: Claimant, idempotencyKey: string) => Claim;

export function createClaims({ usageRecord, digestsOf, streamLimitMs }: ClaimsDeps): Claims {
  return function claimOf(claimant, idempotencyKey) {
    const { accountId, requestId } = claimant;
    const digests = digestsOf(accountId, idempotencyKey);

    /** Without a lease it only looks. */
    async function ask(leaseId: string | null): Promise<ClaimAnswer> {
      const body: ClaimRequest = { ...claimant, digests, leaseId, runsMs: streamLimitMs + settlingMsMax };
      const post = () => usageRecord.post("/claims", body, ClaimAnswer, callTimeoutMs);
      const answer = await post();
      if (answer.outcome !== "in_progress") return answer;
      await delay(secondLookMs);
      return post();
    }

    async function giveBack(): Promise<void> {
      for (let tries = 1; tries <= releaseTriesMax; tries += 1) {
        try {
          await usageRecord.post("/claims/release", { accountId, digests, requestId }, z.unknown(), callTimeoutMs);
          return;
        } catch {
          await delay(releaseRetryMs);
        }
      }
    }
    const release = () => void giveBack();

    return {
      async hold(take) {
        let hold: Hold;
        try {
          hold = await take();
        } catch (thrown) {
          // The first request may have used up the money or the budget: its retry is told so, not to top up.
          if (thrown instanceof EpithreError && thrown.status === 402) refuseUsed(await ask(null));
          throw thrown;
        }
        try {
          const answer = await ask(hold.leaseId).catch((thrown: unknown) => {
            // It may have been claimed all the same.
            release();
            throw thrown;
          });
          refuseUsed(answer);
        } catch (thrown) {
          hold.release(0);
          throw thrown;
        }
        return hold;
      },
      release,
    };
  };
}

/** Throws unless the request may run. SDKs would retry a 409, and get the same answer. */
function refuseUsed(answer: ClaimAnswer): void {
  const notCompared = "Bodies are not compared: nothing is kept of them. To run a new request, send a new key.";
  const headers = { "x-should-retry": "false" };
  switch (answer.outcome) {
    case "claimed":
    case "free":
      return;
    case "completed":
      throw new EpithreError(
        "idempotent_replay",
        `Cannot run this request again: request ${answer.requestId} with the same Idempotency-Key ended with status ` +
          `${answer.status} and was charged ${formatRupiah(answer.chargedMicro)} rupiah. ${notCompared}`,
        {
          headers: {
            ...headers,
            "x-epithre-original-request-id": answer.requestId,
            "x-epithre-original-cost-micro-rupiah": String(answer.chargedMicro),
          },
        },
      );
    case "in_progress":
      throw new EpithreError(
        "idempotency_in_progress",
        `Cannot run this request: request ${answer.requestId} with the same Idempotency-Key is still running. ${notCompared}`,
        { retryAfterS: inProgressRetryS, headers: { ...headers, "x-epithre-original-request-id": answer.requestId } },
      );
    case "too_many":
      throw new EpithreError(
        "rate_limit_exceeded",
        `Cannot take another Idempotency-Key: ${claimsPerHourMax} requests of this account had one within the last hour. ` +
          "Wait some minutes, or send fewer requests with the header.",
        { retryAfterS: 60, headers },
      );
  }
}
