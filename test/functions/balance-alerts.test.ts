/** Mail when a balance has fallen below the threshold that its person set: once, whatever comes between. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { createDatabasePool } from "#shared/db-pool.ts";
import { connect } from "#shared/db.ts";
import { findAlert, setAlert } from "../../functions/billing/queries.ts";
import { queueLowBalanceMail } from "../../functions/notify/queries.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import { addModel, openAccount, postEvent, settlement } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";
import { grantLeases, syncLeases } from "../support/leases.ts";
import { waitFor } from "../support/wait.ts";

const database = await createTestDatabase();
const { sql: owner } = database;
const billing = createDatabasePool({ url: database.urlFor("billing"), log: () => {} });
const usageRecord = createDatabasePool({ url: database.urlFor("usage-record"), log: () => {} });
const notify = connect({ url: database.urlFor("notify"), connections: 2 });
await addModel(owner, "test-chat");

afterAll(async () => {
  await Promise.all([billing.close(), usageRecord.close(), notify.end()]);
  await database.close();
});
beforeEach(async () => {
  await owner`delete from balance_alerts`;
  await owner`delete from outbox`;
});

const setThreshold = (accountId: string, micro: number | null) =>
  billing.run((sql) => setAlert(sql, accountId, micro === null ? null : BigInt(micro)));
const look = (accountsMax = 1_000) => queueLowBalanceMail(notify, accountsMax);

async function mailsTo(accountId: string): Promise<number> {
  const rows = await owner`select from outbox where account_id = ${accountId} and template = 'low_balance'`;
  return rows.length;
}

/** A lease of an account, and what settles on it. */
async function lease(accountId: string, needMicro: number) {
  const replicaId = randomUUID();
  const requests = [{ accountId, leaseId: null, needsMicro: [needMicro], wantMicro: 0 }];
  const [grant] = await billing.run((sql) => grantLeases(sql, { replicaId, requests }, 60_000));
  if (grant?.outcome !== "granted") throw new Error(`The account has no ${needMicro} to lease`);
  const { leaseId } = grant;
  return {
    spend: (costMicro: number) => usageRecord.run((sql) => settle(sql, [settlement({ accountId, leaseId, costMicro })])),
    async close() {
      const report = { leaseId, renew: false, returnMicro: 0, recallAnswered: false, close: true };
      await billing.run((sql) => syncLeases(sql, { replicaId, leases: [report] }, 60_000));
    },
  };
}

describe("queue_low_balance_mail()", () => {
  test("counts what running leases have used, not what they have set aside (use.account)", async () => {
    const accountId = await openAccount(owner, 1_000);
    await setThreshold(accountId, 500);
    const { spend, close } = await lease(accountId, 900);
    expect(await look()).toBe(0);
    await spend(500);
    expect(await look()).toBe(0);
    await spend(1);
    expect(await look()).toBe(1);
    await close();
    expect([await look(), await mailsTo(accountId)]).toEqual([0, 1]);
  });

  test("queues no second mail before the balance has been at the threshold again, however short that was", async () => {
    const accountId = await openAccount(owner, 1_000);
    await setThreshold(accountId, 500);
    const refund = (amountMicro: number) => postEvent(owner, accountId, { kind: "refund", amountMicro: -amountMicro, reason: "refund_requested" });
    await refund(600);
    await look();
    await postEvent(owner, accountId, { amountMicro: 99 });
    await look();
    expect(await mailsTo(accountId)).toBe(1);
    // Up to the threshold and down again between two looks.
    await postEvent(owner, accountId, { amountMicro: 1 });
    await refund(1);
    await look();
    expect(await mailsTo(accountId)).toBe(2);
    expect(await look()).toBe(0);
  });

  test("tells once of a threshold that is passed when it is set, and nobody without one", async () => {
    const accountId = await openAccount(owner, 100);
    await openAccount(owner, 100);
    await setThreshold(accountId, 500);
    expect(await look()).toBe(1);
    await setThreshold(accountId, 500);
    expect(await look()).toBe(0);
    await setThreshold(accountId, 400);
    expect(await look()).toBe(1);
    await setThreshold(accountId, null);
    await postEvent(owner, accountId, { amountMicro: 1_000 });
    await postEvent(owner, accountId, { kind: "refund", amountMicro: -1_000, reason: "refund_requested" });
    expect([await look(), (await owner`select from outbox`).length]).toEqual([0, 2]);
  });

  test("goes on with the next accounts at the next look, and writes to no closed account", async () => {
    const accounts = await Promise.all(Array.from({ length: 5 }, () => openAccount(owner)));
    for (const accountId of accounts) await setThreshold(accountId, 10);
    await owner`update accounts set status = 'closed', closed_at = now() where id = ${accounts[4]!}`;
    expect([await look(3), await look(3), await look(3)]).toEqual([3, 1, 0]);
    expect(await mailsTo(accounts[4]!)).toBe(0);
  });

  test("queues nothing and notes nothing when it ends before its commit", async () => {
    const accountId = await openAccount(owner);
    await setThreshold(accountId, 10);
    await notify
      .begin(async (sql) => {
        expect(await queueLowBalanceMail(sql as never, 10)).toBe(1);
        throw new Error("ended here");
      })
      .catch(() => {});
    expect(await mailsTo(accountId)).toBe(0);
    expect([await look(), await mailsTo(accountId)]).toEqual([1, 1]);
  });

  test("leaves an alert armed that a top-up overtakes, whichever comes first", async () => {
    const accountId = await openAccount(owner, 100);
    await setThreshold(accountId, 500);
    const armed = async () => (await owner<{ armed: boolean }[]>`select armed from balance_alerts`)[0]!.armed;
    // The top-up waits for the look, which has told of the fall.
    let topUp: Promise<unknown> | undefined;
    await notify.begin(async (sql) => {
      expect(await queueLowBalanceMail(sql as never, 10)).toBe(1);
      topUp = postEvent(owner, accountId, { amountMicro: 900 });
      await waitFor("the top-up to wait", async () => (await owner`select from pg_locks where not granted`).length > 0);
    });
    await topUp;
    expect([await armed(), await look()]).toEqual([true, 0]);

    // The look meets a top-up that is not committed: it leaves the account to the next one.
    await postEvent(owner, accountId, { kind: "refund", amountMicro: -900, reason: "refund_requested" });
    await owner`update balance_alerts set armed = false`;
    await owner.begin(async (sql) => {
      await postEvent(sql as never, accountId, { amountMicro: 900 });
      expect(await look()).toBe(0);
    });
    expect([await armed(), await look(), await mailsTo(accountId)]).toEqual([true, 0, 1]);
  });

  test("mails exactly once for each fall, whatever order money and looks come in", async () => {
    const micro = fc.integer({ min: 1, max: 900 });
    const step = fc.oneof(
      fc.record({ do: fc.constantFrom("top up" as const, "refund" as const, "spend" as const), micro }),
      fc.record({ do: fc.constantFrom("look" as const, "close" as const), micro: fc.constant(0) }),
      fc.record({ do: fc.constant("threshold" as const), micro: fc.constantFrom(0, 300, 600) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
        const accountId = await openAccount(owner, 1_000);
        let running = await lease(accountId, 1_000);
        let [balance, left, threshold, armed, mails] = [1_000, 1_000, 0, false, 0];
        const raised = () => (armed ||= balance >= threshold);
        for (const given of steps) {
          switch (given.do) {
            case "top up":
              await postEvent(owner, accountId, { amountMicro: given.micro });
              balance += given.micro;
              raised();
              break;
            case "refund":
              // Only what is in no lease can be taken.
              if (given.micro > balance - left) break;
              await postEvent(owner, accountId, { kind: "refund", amountMicro: -given.micro, reason: "refund_requested" });
              balance -= given.micro;
              raised();
              break;
            case "spend":
              if (given.micro > left) break;
              await running.spend(given.micro);
              balance -= given.micro;
              left -= given.micro;
              break;
            case "close":
              await running.close();
              running = await lease(accountId, balance);
              left = balance;
              break;
            case "threshold":
              await setThreshold(accountId, given.micro || null);
              armed = given.micro !== threshold || armed;
              threshold = given.micro;
              break;
            case "look":
              await look();
              if (threshold > 0 && armed && balance < threshold) {
                mails += 1;
                armed = false;
              }
          }
        }
        expect(await mailsTo(accountId)).toBe(mails);
        await setThreshold(accountId, null);
      }),
      { numRuns: 150 },
    );
  });
});

describe("balance_alert()", () => {
  test("answers the account's own threshold", async () => {
    const [accountId, other] = [await openAccount(owner), await openAccount(owner)];
    await setThreshold(other, 7);
    const found = () => billing.run((sql) => findAlert(sql, accountId));
    expect(await found()).toBeNull();
    await setThreshold(accountId, 9_007_199_254);
    expect(await found()).toBe(9_007_199_254n);
    await setThreshold(accountId, null);
    expect(await found()).toBeNull();
  });
});
