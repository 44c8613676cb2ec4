/**
 * The keys of digests that are stored for a day: a new one each day, derived from the day before by HKDF and never back.
 * Whoever holds the key of a day can derive those of all later days, so replicas agree without a word, and a rotation
 * that moves the secret a few days forward destroys the keys of the days before (infra/decisions/0008-idempotency.md).
 */
import { hkdfSync } from "node:crypto";
import { z } from "zod";
import { claimHours } from "./stored-data.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** The day that a secret without a date is the key of. */
const firstDay = Date.UTC(2026, 0, 1) / dayMs;

/** Milliseconds that the clocks of two replicas may differ by; they follow the database's within a fraction of it. */
const clockDifferenceMsMax = 60_000;

/** The key of one day, counted from 1970, from which those of later days follow. */
export interface DigestChain {
  day: number;
  key: string;
}

/** As the secret has it: any 16 characters or more, which are then 2026-01-01's, or `<key>@2026-11-25` after a rotation. */
export const DigestChainText = z
  .string()
  .regex(/^[^@]{16,}(@\d{4}-\d\d-\d\d)?$/, "must be 16 characters or more, then nothing or @ and a date")
  .transform((text): DigestChain => {
    const [key, date] = text.split("@") as [string, string?];
    return { day: date === undefined ? firstDay : Date.parse(date) / dayMs, key };
  })
  // In the first minutes of a day, another machine's clock may have rotated the secret already.
  .refine(({ day }) => day <= dayOf(Date.now() + hourMs), "must not begin on a later day than today");

const dayOf = (timeMs: number) => Math.floor(timeMs / dayMs);

/** The days that a digest that still counts can have been made on, today first: two, and three around midnight. */
export function daysThatCount(nowMs: number): number[] {
  const today = dayOf(nowMs);
  const days = [today];
  for (let day = dayOf(nowMs + clockDifferenceMsMax); day >= oldestDay(nowMs); day -= 1) if (day !== today) days.push(day);
  return days;
}

const oldestDay = (nowMs: number) => dayOf(nowMs - claimHours * hourMs - clockDifferenceMsMax);

/** The key that digests of a day are made under; undefined when the chain begins later: that key is destroyed. */
export function digestKeyOf(chain: DigestChain, day: number): Buffer | undefined {
  return day < chain.day ? undefined : derive(advance(chain, day).key, "digests of this day");
}

/** The secret's text without the days that no digest which counts can be of. What comes out does not lead back to it. */
export function rotatedDigestChain(text: string, nowMs: number): string {
  const { data, error } = DigestChainText.safeParse(text);
  if (!data) throw new Error(`Cannot rotate the secret digest-chain: it ${error.issues[0]!.message}`);
  return formatDigestChain(advance(data, oldestDay(nowMs)));
}

function formatDigestChain({ day, key }: DigestChain): string {
  return `${key}@${new Date(day * dayMs).toISOString().slice(0, 10)}`;
}

function advance({ day, key }: DigestChain, to: number): DigestChain {
  let next = key;
  for (let passed = day; passed < to; passed += 1) next = derive(next, "the next day").toString("base64url");
  return { day: Math.max(day, to), key: next };
}

function derive(key: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", key, "epithre", purpose, 32));
}
