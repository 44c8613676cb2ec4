import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect, type Sql } from "#shared/db.ts";
import { hashKey } from "#shared/keys.ts";
import { findVerdicts } from "../../../functions/key-auth/queries.ts";
import { settle } from "../../../functions/usage-record/queries.ts";
import { addModel, postEvent, settlement } from "../../support/accounts.ts";
import { type AccountsService, type Someone, startAccounts, tokenIn } from "../../support/accounts-service.ts";
import { grantLeases } from "../../support/leases.ts";
import { purgeOnce } from "../../support/purge.ts";

let service: AccountsService;
let keyAuth: Sql;
let billing: Sql;
let usageRecord: Sql;
let someone: Someone;
beforeAll(async () => {
  service = await startAccounts();
  keyAuth = connect({ url: service.db.urlFor("key-auth") });
  billing = connect({ url: service.db.urlFor("billing") });
  usageRecord = connect({ url: service.db.urlFor("usage-record") });
  await addModel(service.db.sql, "test-chat");
});
afterAll(async () => {
  await Promise.all([keyAuth.end(), billing.end(), usageRecord.end()]);
  await service.close();
});
beforeEach(async () => {
  service.nextHour();
  someone = await service.newPerson();
});

const remove = (more: object = {}, { session, password }: Someone = someone) =>
  service.post("/v1/account/delete", { password, ...more }, { session });
const cancel = (token: string) => service.post("/v1/account/delete/cancel", { token });
const logIn = ({ email, password }: Someone = someone) => service.post("/v1/account/login", { email, password });
const codeOf = ({ status, body }: { status: number; body: any }) => [status, body.error?.code];
const statusOf = async () => (await service.db.sql`select status from accounts where id = ${someone.accountId}`)[0]?.status;

/** Micro-rupiah of the account, and the sum of its entries in the ledger. */
async function moneyOf(accountId = someone.accountId) {
  const [row] = await service.db.sql<{ credited: bigint; consumed: bigint; leased: bigint; ledger: bigint }[]>`
    select
      credited_micro as credited, consumed_micro as consumed, leased_micro as leased,
      coalesce((select sum(amount_micro) from ledger_entries e where e.account_id = b.account_id), 0)::bigint as ledger
    from balances b where b.account_id = ${accountId}
  `;
  const { credited, consumed, leased, ledger } = row!;
  expect(ledger).toBe(credited);
  return { balance: Number(credited - consumed), leased: Number(leased) };
}

async function leaseOf(accountId: string, micro: number): Promise<string> {
  const requests = [{ accountId, leaseId: null, needsMicro: [micro], wantMicro: 0 }];
  const [grant] = await grantLeases(billing, { replicaId: randomUUID(), requests }, 20_000);
  return (grant as { leaseId: string }).leaseId;
}

describe("deletion", () => {
  test("ends account, keys and sessions at once, and says what stays and for how long (right.delete)", async () => {
    const { key, id } = (await service.post("/v1/account/keys", { name: "x", scopes: ["chat"] }, { session: someone.session })).body;
    expect(codeOf(await remove({ password: "not the password" }))).toEqual([401, "invalid_credentials"]);
    const { status, body } = await remove();
    expect(status).toBe(202);
    expect(body.stays.map(({ promise, days }: any) => [promise, days])).toEqual([["keep.billing", 2_555], ["keep.audit", 365]]);
    expect(Date.parse(body.erased_everywhere_by) - Date.parse(body.cancel_until)).toBe(23 * 86_400_000);
    expect(await statusOf()).toBe("closed");
    expect(codeOf(await service.ask("/v1/account", { session: someone.session }))).toEqual([401, "invalid_session"]);
    expect(codeOf(await logIn())).toEqual([401, "invalid_credentials"]);
    expect(await findVerdicts(keyAuth, [hashKey(key)])).toEqual([null]);
    const audit = await service.db.sql`select actor, action from audit_log where object_id = ${id} order by id`;
    expect([...audit]).toEqual([{ actor: "account", action: "key_created" }, { actor: "account", action: "key_revoked" }]);
  });

  test("is taken back by the mailed token within the time, and leaves keys revoked (right.delete)", async () => {
    const { key } = (await service.post("/v1/account/keys", { name: "x", scopes: ["chat"] }, { session: someone.session })).body;
    await remove();
    const [mail] = await service.mail();
    expect(mail).toMatchObject({ to: someone.email });
    const token = tokenIn(mail, "cancel_deletion")!;
    expect((await cancel(token)).body).toMatchObject({ cancelled: true });
    expect(codeOf(await cancel(token))).toEqual([400, "invalid_token"]);
    expect(await statusOf()).toBe("active");
    expect(codeOf(await service.ask("/v1/account", { session: someone.session }))).toEqual([401, "invalid_session"]);
    expect((await logIn()).status).toBe(200);
    expect(await findVerdicts(keyAuth, [hashKey(key)])).toEqual([null]);
  });

  test("cannot be taken back once the time is over, and is then erased with all but billing (right.delete, keep.billing)", async () => {
    await postEvent(service.db.sql, someone.accountId, { amountMicro: 5_000 });
    await remove({ forfeit_credit: true });
    const token = await service.tokenTo(someone.email, "cancel_deletion");
    const back = () => service.db.sql`
      update account_tokens t set expires_at = expires_at - interval '7 days' from accounts a where a.id = t.account_id and a.id = ${someone.accountId}
    `;
    const [row] = await service.db.sql`
      select extract(epoch from t.expires_at - a.closed_at)::int / 86400 as days
      from account_tokens t join accounts a on a.id = t.account_id where a.id = ${someone.accountId}
    `;
    expect(row!.days).toBe(7);
    await back();
    await service.db.sql`update accounts set closed_at = closed_at - interval '7 days 1 minute' where id = ${someone.accountId}`;
    expect(codeOf(await cancel(token))).toEqual([400, "invalid_token"]);
    await purgeOnce(service.db);
    expect(await statusOf()).toBeUndefined();
    expect(await service.db.sql`select from persons where email = ${someone.email}`).toHaveLength(0);
    expect(await service.db.sql`select from account_tokens where account_id = ${someone.accountId}`).toHaveLength(0);
    expect(await service.db.sql`select from billing_events where account_id = ${someone.accountId}`).toHaveLength(2);
    // The address is free again.
    await service.post("/v1/account/signup", { email: someone.email, password: "another password" });
    expect((await service.mail()).map((mail) => tokenIn(mail, "verify_email") !== undefined)).toEqual([true]);
  });

  test("leaves a suspended account suspended when it is taken back", async () => {
    await service.db.sql`select admin_set_suspended(${someone.accountId}, true, 'abuse')`;
    expect((await remove()).status).toBe(202);
    await cancel(await service.tokenTo(someone.email, "cancel_deletion"));
    expect(await statusOf()).toBe("suspended");
  });

  test("of an account that an operator closed brings no token to open it", async () => {
    await service.db.sql`select admin_close_account(${someone.accountId})`;
    await service.db.sql`select queue_mail(${someone.accountId}, 'account_deleted')`;
    expect(await service.mail()).toEqual([]);
    expect(await service.db.sql`select from outbox where account_id = ${someone.accountId}`).toHaveLength(0);
  });

  test("waits for credit to be refunded or given up, by a word of its own (keep.billing)", async () => {
    await postEvent(service.db.sql, someone.accountId, { amountMicro: 5_000 });
    const refused = await remove();
    expect(codeOf(refused)).toEqual([409, "conflict"]);
    expect(refused.body.error.message).toContain("forfeit_credit");
    expect([await statusOf(), (await service.ask("/v1/account", { session: someone.session })).status]).toEqual(["active", 200]);
    expect((await remove({ forfeit_credit: "yes" })).status).toBe(400);
    expect((await remove({ forfeit_credit: true })).status).toBe(202);
    expect(await moneyOf()).toEqual({ balance: 0, leased: 0 });
    const [event] = await service.db.sql`
      select kind, amount_micro::int as amount, reason from billing_events where account_id = ${someone.accountId} order by id desc limit 1
    `;
    expect(event).toEqual({ kind: "adjustment", amount: -5_000, reason: "account_closing" });
  });

  test("gives up what leases hold too, and gives back no more than was free when it is taken back", async () => {
    await postEvent(service.db.sql, someone.accountId, { amountMicro: 10_000 });
    const leaseId = await leaseOf(someone.accountId, 4_000);
    await settle(usageRecord, [settlement({ accountId: someone.accountId, leaseId, costMicro: 1_000 })]);
    await remove({ forfeit_credit: true });
    expect(await moneyOf()).toEqual({ balance: 0, leased: 0 });
    // A call that still ran: its account has nothing left, and never owes.
    const late = settlement({ accountId: someone.accountId, leaseId, costMicro: 2_000 });
    expect(await settle(usageRecord, [late])).toMatchObject([{ outcome: "settled", chargedMicro: 0 }]);
    await cancel(await service.tokenTo(someone.email, "cancel_deletion"));
    expect(await moneyOf()).toEqual({ balance: 6_000, leased: 0 });
    // And so each time.
    const again = { ...someone, session: (await logIn()).body.token };
    await remove({ forfeit_credit: true }, again);
    await cancel(await service.tokenTo(someone.email, "cancel_deletion"));
    expect(await moneyOf()).toEqual({ balance: 6_000, leased: 0 });
  });

  test("needs no word where all credit is used, also by a lease that is open", async () => {
    await postEvent(service.db.sql, someone.accountId, { amountMicro: 4_000 });
    const leaseId = await leaseOf(someone.accountId, 4_000);
    await settle(usageRecord, [settlement({ accountId: someone.accountId, leaseId, costMicro: 4_000 })]);
    expect((await remove()).status).toBe(202);
    expect(await moneyOf()).toEqual({ balance: 0, leased: 0 });
  });

  test("keeps money whole beside calls that are settled at the same time", async () => {
    await postEvent(service.db.sql, someone.accountId, { amountMicro: 100_000 });
    const leaseId = await leaseOf(someone.accountId, 50_000);
    const calls = Array.from({ length: 20 }, () =>
      settle(usageRecord, [settlement({ accountId: someone.accountId, leaseId, costMicro: 1_000 })]).catch((thrown) => thrown.code as string),
    );
    const [closed] = await Promise.all([remove({ forfeit_credit: true }), ...calls]);
    expect(closed.status).toBe(202);
    expect(await moneyOf()).toEqual({ balance: 0, leased: 0 });
  });

  test("happens once of two that come at once", async () => {
    await postEvent(service.db.sql, someone.accountId, { amountMicro: 5_000 });
    const both = await Promise.all([remove({ forfeit_credit: true }), remove({ forfeit_credit: true })]);
    expect(both.map(({ status }) => status).sort()).toEqual([202, expect.toSatisfy((status: number) => [401, 409].includes(status))]);
    expect(await service.db.sql`select from billing_events where account_id = ${someone.accountId} and reason = 'account_closing'`).toHaveLength(1);
  });

  test("of another account cannot be asked for", async () => {
    const other = await service.newPerson();
    expect(codeOf(await remove({ password: someone.password }, other))).toEqual([401, "invalid_credentials"]);
    expect((await remove({ account_id: someone.accountId }, other)).status).toBe(400);
    expect(await statusOf()).toBe("active");
  });
});
