/** Nobody learns by the time of an answer whether an address has an account. Pairs are compared, and no time by itself. */
import { randomInt, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AccountsService, startAccounts } from "../../support/accounts-service.ts";

/** Pairs of calls, one of them about an address that has an account. */
const pairs = 40;

/**
 * Share of pairs in which the same one of two takes longer. Of fair coins, one run in 100,000 shows as much; a hash, or a
 * row that is written before the answer, shows in nearly all.
 */
const shareMax = 0.85;

/** Milliseconds of the pause behind which rows are written: less than in use, and more than they take. */
const pauseMs = 40;

let service: AccountsService;
let known: string;
beforeAll(async () => {
  service = await startAccounts({ pause: () => delay(pauseMs) });
  known = (await service.newPerson()).email;
});
afterAll(() => service.close());

const newEmail = () => `${randomUUID()}@example.com`;
const password = "a password of nobody";

async function timeOf(path: string, body: object): Promise<number> {
  // Throttles are not what is measured; and a mail that waits already is not queued again.
  service.nextHour();
  await service.db.sql`delete from outbox`;
  const startedAtMs = performance.now();
  await service.post(path, body);
  return performance.now() - startedAtMs;
}

test.each([
  ["login", "/v1/account/login", { password }],
  ["signup", "/v1/account/signup", { password }],
  ["reset of a password", "/v1/account/password/reset-request", {}],
])("%s takes no longer, and no less, for an address that has an account (use.account)", async (_, path, more) => {
  const slower = { known: 0, unknown: 0 };
  for (let pair = 0; pair < pairs; pair += 1) {
    const times = { known: 0, unknown: 0 };
    const order = randomInt(2) === 0 ? (["known", "unknown"] as const) : (["unknown", "known"] as const);
    for (const which of order) times[which] = await timeOf(path, { email: which === "known" ? known : newEmail(), ...more });
    slower[times.known > times.unknown ? "known" : "unknown"] += 1;
  }
  expect(Math.max(slower.known, slower.unknown) / pairs).toBeLessThan(shareMax);
}, 60_000);
