import { hash, randomBytes, randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DatabasePool } from "#shared/db-pool.ts";
import { connect, type Sql } from "#shared/db.ts";
import { policy, promised, type PromiseId } from "#shared/policy.ts";
import { endingStores } from "../../../functions/policy/stores.ts";
import { addKey, openAccount } from "../../support/accounts.ts";
import { addClaim } from "../../support/claims.ts";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { addInvoices } from "../../support/invoices.ts";
import { createPolicy, type Given, minuteMs, type PolicyFunction } from "../../support/policy.ts";
import { addExport, addSlice, addUsage, purgeOnce } from "../../support/purge.ts";

let db: TestDatabase;
let sql: Sql;
let policyFunction: PolicyFunction;

beforeEach(async () => {
  db = await createTestDatabase();
  sql = db.sql;
  policyFunction = createPolicy(db);
});
afterEach(async () => {
  await policyFunction.close();
  await db.close();
});

const red = (id: PromiseId) => policyFunction.red(id);

async function withSettings(given: Given): Promise<PolicyFunction> {
  await policyFunction.close();
  policyFunction = createPolicy(db, given);
  return policyFunction;
}

async function attest(id: PromiseId, sentence = promised(id).promise, age = "0", days = 92): Promise<void> {
  await sql`
    insert into attestations (promise, sentence_digest, stated_at, expires_at)
    values (${id}::text::attested_promise, decode(${hash("sha256", sentence)}, 'hex'), now() - ${age}::interval, now() - ${age}::interval + make_interval(days => ${days}))
  `;
}

async function sealAudit(age = "0"): Promise<void> {
  await sql`
    insert into audit_days (day, rows, head, sealed_until, statement)
    select (until at time zone 'UTC')::date, 3, ${randomBytes(32)}, until, 'signed'
    from (select now() - ${age}::interval - interval '1 millisecond' as until) as at
  `;
}

async function close(accountId: string, age: string): Promise<void> {
  await sql`update accounts set status = 'closed', closed_at = now() - ${age}::interval where id = ${accountId}`;
}

/** A database that is as it should be. */
async function healthy(): Promise<void> {
  await purgeOnce(db);
  await sealAudit();
  for (const { id, proof } of policy) if (proof.kind === "attested") await attest(id);
}

const someName = () => `operator-${randomBytes(4).toString("hex")}`;

/** Promises whose evidence others make. */
const owed = ["sec.tls", "change.notice"];

describe("evidence()", () => {
  test("is green for every promise that is shown to be kept, and red for what nobody measures yet (keep.*)", async () => {
    await healthy();
    const { judgements } = await policyFunction.evidence();
    expect(judgements.filter(({ state }) => state !== "kept").map(({ id }) => id)).toEqual(owed);
    expect(judgements.map(({ id }) => id)).toEqual(policy.map(({ id }) => id));
  });

  test("of a new installation says what is missing, and takes nothing for granted", async () => {
    expect(await red("keep.*")).toEqual(["purge_never"]);
    expect(await red("keep.audit")).toEqual(["audit_never"]);
    expect(await red("place.jakarta")).toEqual(["attestation_missing"]);
    expect(await red("keep.usage")).toEqual([]);
  });

  test("is red while purge does not run for 48 hours, and while it waits for an operator (keep.*)", async () => {
    await healthy();
    await sql`update purge_runs set started_at = started_at - interval '47 hours 50 minutes', finished_at = finished_at - interval '47 hours 50 minutes'`;
    expect(await red("keep.*")).toEqual([]);
    await sql`update purge_runs set started_at = started_at - interval '15 minutes', finished_at = finished_at - interval '15 minutes'`;
    expect(await red("keep.*")).toEqual(["purge_gap"]);
    await sql`insert into purge_runs (state, early_days, finished_at) values ('refused', 0, now())`;
    expect(await red("keep.*")).toEqual(["purge_refused", "purge_gap"]);
    await sql`update purge_runs set confirmed_at = now(), confirmed_by = 'system' where state = 'refused'`;
    await purgeOnce(db);
    expect(await red("keep.*")).toEqual([]);
  });

  test("is red when purge acts by another backup window, by a longer limit, or leaves a table out (keep.*)", async () => {
    await healthy();
    // Of two runs in ten minutes that did nothing, one is kept.
    await sql`update purge_runs set started_at = started_at - interval '1 hour', finished_at = finished_at - interval '1 hour'`;
    await purgeOnce(db, { backupWindowDays: 7 });
    expect(await red("keep.*")).toContain("purge_window");
    await withSettings({ backupWindowDays: 7 });
    expect(await red("keep.*")).toEqual([]);
    await sql`update purge_steps set live_days = 120 where step = 'usage_events'`;
    expect(await red("keep.*")).toEqual(["purge_limit usage_events"]);
    await sql`delete from purge_steps where step = 'api_keys'`;
    expect(await red("keep.*")).toEqual(["purge_limit usage_events", "purge_step api_keys"]);
  });

  /** A row that is one of its kind's, older than its limit allows by `over`. */
  const old: Record<string, (age: string) => Promise<unknown>> = {
    async usage_events(age) {
      await addUsage(sql, await addSlice(sql, age), randomUUID());
    },
    async api_keys(age) {
      const { keyId } = await addKey(sql, await openAccount(sql));
      await sql`update api_keys set revoked_at = now() - ${age}::interval where id = ${keyId}`;
    },
    audit_log: (age) => sql`insert into audit_log (at, actor, action) values (now() - ${age}::interval, 'system', 'key_created')`,
    outbox: async (age) => sql`insert into outbox (account_id, template, created_at) values (${await openAccount(sql)}, 'welcome', now() - ${age}::interval)`,
    async billing_events(age) {
      await openAccount(sql, 1_000);
      await sql`alter table billing_events disable trigger user`;
      await sql`update billing_events set created_at = now() - ${age}::interval`;
    },
    async invoices(age) {
      await addInvoices(sql, await openAccount(sql));
      await sql`alter table invoices disable trigger user`;
      await sql`update invoices set issued_at = now() - ${age}::interval - interval '1 day', due_at = now() - ${age}::interval where state = 'open'`;
    },
    async idempotency_claims(age) {
      await addClaim(sql, await openAccount(sql), age);
    },
    account_tokens: async (age) => sql`insert into account_tokens values (${randomBytes(32)}, ${await openAccount(sql)}, 'reset_password', now() - ${age}::interval)`,
    async persons(age) {
      const accountId = await openAccount(sql);
      await sql`insert into persons (account_id, email, name, new_email, new_email_at) values (${accountId}, 'a@example.com', 'A', 'b@example.com', now() - ${age}::interval)`;
    },
    operators: (age) => sql`insert into operators (name, disabled_at) values (${someName()}, now() - ${age}::interval)`,
    operator_sessions: async (age) => {
      const [row] = await sql<{ id: string }[]>`insert into operators (name) values (${someName()}) returning id`;
      await sql`insert into operator_sessions values (${randomBytes(32)}, ${row!.id}, now() - ${age}::interval)`;
    },
    operator_invites: async (age) => {
      const [row] = await sql<{ id: string }[]>`insert into operators (name) values (${someName()}) returning id`;
      await sql`insert into operator_invites values (${randomBytes(32)}, ${row!.id}, false, now() - ${age}::interval)`;
    },
    throttles: async (age) =>
      void (await sql`
        insert into throttles (account_id, signal, requests_per_minute, began_at, ends_at)
        values (${await openAccount(sql)}, 'left', 10, now() - ${age}::interval - interval '1 hour', now() - ${age}::interval)
      `),
    usage_exports: async (age) => addExport(sql, await openAccount(sql), age),
    purge_runs: (age) => sql`insert into purge_runs (state, early_days, started_at, finished_at) values ('interrupted', 0, now() - ${age}::interval, null)`,
    accounts: async (age) => close(await openAccount(sql), age),
  };

  test("looks at each kind of data that has an end of its own, also at those that come (keep.*)", async () => {
    expect(Object.keys(old).sort()).toEqual(endingStores.map(({ table }) => table).sort());
    const seen = await sql<{ store: string }[]>`select store from evidence_oldest`;
    expect(seen.map(({ store }) => store).sort()).toEqual(endingStores.map(({ table }) => table).sort());
  });

  test.each(endingStores.map((row) => [row.table, row] as const))("is green until the oldest of %s is at its limit, and red beyond it (keep.*)", async (table, { promise, limit }) => {
    await healthy();
    const hours = { hours: 1, days: 24, years: 365 * 24 }[limit.unit as "hours" | "days" | "years"] * limit.amount;
    const id = promise ?? "keep.*";
    await old[table]!(`${hours - 2} hours`);
    expect(await red(id)).toEqual([]);
    await db.close();
    await policyFunction.close();
    db = await createTestDatabase();
    sql = db.sql;
    policyFunction = createPolicy(db);
    await healthy();
    await old[table]!(`${hours + 1} hours`);
    expect(await red(id)).toEqual([`past_limit ${table}`]);
    expect(await policyFunction.metrics()).toContain(`epithre_promise_broken{promise="${id}"} 1`);
  });

  test("agrees with what a plain look at the tables says, and with the limits that backups leave (keep.*)", async () => {
    // Older than the slices that every database has.
    for (const [index, make] of Object.values(old).entries()) await make(`${index + 9} hours`);
    await purgeOnce(db);
    const { stores, facts } = await (await withSettings({ backupWindowDays: 7 })).evidence();
    const looks: Record<string, Promise<{ at: Date | null }[]>> = {
      usage_events: sql`select min(to_timestamp(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)) as at from usage_events`,
      api_keys: sql`select revoked_at as at from api_keys order by revoked_at limit 1`,
      audit_log: sql`select at from audit_log order by at limit 1`,
      outbox: sql`select created_at as at from outbox order by 1 limit 1`,
      billing_events: sql`select created_at as at from billing_events order by 1 limit 1`,
      invoices: sql`select due_at as at from invoices where state in ('open', 'cancelled') order by 1 limit 1`,
      idempotency_claims: sql`select claimed_at as at from idempotency_claims order by 1 limit 1`,
      account_tokens: sql`select expires_at as at from account_tokens order by 1 limit 1`,
      persons: sql`select new_email_at as at from persons where new_email_at is not null order by 1 limit 1`,
      throttles: sql`select ends_at as at from throttles order by 1 limit 1`,
      usage_exports: sql`select created_at as at from usage_exports order by 1 limit 1`,
      accounts: sql`select closed_at as at from accounts where closed_at is not null order by 1 limit 1`,
      purge_runs: sql`select started_at as at from purge_runs order by 1 limit 1`,
    };
    for (const [table, look] of Object.entries(looks)) {
      const [row] = await look;
      expect([table, stores.find(({ store }) => store === table)!.oldestAt?.getTime() ?? null]).toEqual([table, row?.at?.getTime() ?? null]);
    }
    const [due] = await sql<{ count: bigint }[]>`select count(*) from accounts where closed_at < now() - interval '7 days'`;
    expect(facts!.dueErasures.accounts).toBe(Number(due!.count));
    expect(stores.find(({ store }) => store === "usage_events")).toMatchObject({ promisedHours: 90 * 24, liveHours: 81 * 24, backupHours: 9 * 24 });
  });

  test("counts erasures that are due, and is red when the first is a day late (right.delete)", async () => {
    await healthy();
    await close(await openAccount(sql), "6 days 23 hours");
    await close(await openAccount(sql), "7 days 23 hours");
    expect(await red("right.delete")).toEqual([]);
    expect((await policyFunction.evidence()).facts!.dueErasures.accounts).toBe(1);
    await close(await openAccount(sql), "8 days 1 minute");
    expect(await red("right.delete")).toEqual(["erasure_late"]);
    await purgeOnce(db);
    expect(await red("right.delete")).toEqual([]);
  });

  test("is red while the audit log is not sealed, or could be changed (keep.audit, use.audit)", async () => {
    await healthy();
    await sql`delete from audit_days`;
    await sealAudit("1 hour 59 minutes");
    expect(await red("keep.audit")).toEqual([]);
    await sql`delete from audit_days`;
    await sealAudit("2 hours 1 minute");
    expect(await red("keep.audit")).toEqual(["audit_unsealed"]);
    expect(await red("use.audit")).toEqual(["audit_unsealed"]);
    await sql`grant update (reason) on audit_log to epithre_admin`;
    expect(await red("use.audit")).toEqual(["audit_unsealed"]);
    await sql`grant delete on audit_log to epithre_admin`;
    expect(await red("use.audit")).toContain("audit_changeable");
  });

  test("needs a statement of an operator that has not expired and is about this sentence (place.jakarta, pay.alpha)", async () => {
    for (const id of ["place.jakarta", "pay.alpha", "right.*"] as const) {
      expect(await red(id)).toEqual(["attestation_missing"]);
      await attest(id, promised(id).promise, "91 days 23 hours");
      expect(await red(id)).toEqual([]);
      await attest(id, "What was promised once.", "2 hours");
      expect(await red(id)).toEqual(["attestation_other"]);
      await attest(id, promised(id).promise, "1 hour", 0);
      expect(await red(id)).toEqual(["attestation_expired"]);
    }
  });

  test("is red for a column that no category has, and for a rule that is gone (keep.closed, sec.password, sec.key)", async () => {
    await healthy();
    expect(await red("keep.closed")).toEqual([]);
    await sql`alter table persons add column telephone text`;
    expect(await red("keep.closed")).toEqual(["columns_unknown"]);
    await sql`alter table persons drop constraint persons_password_hash_form`;
    await sql`alter table api_keys drop constraint api_keys_hash_length`;
    expect([await red("sec.password"), await red("sec.key")]).toEqual([["rule_missing"], ["rule_missing"]]);
  });

  test("is red when a scan finds planted words, misses its controls, or comes no more (content.none, content.images)", async () => {
    const scan = (hits: number, controls: number, age = "0") => sql`
      insert into canary_scans (scanned_at, bytes_searched, stores_searched, stores_not_searched, hits, controls_found)
      values (clock_timestamp() - ${age}::interval, 5000000000, 4, 2, ${hits}, ${controls})
    `;
    await healthy();
    expect(await red("content.none")).toEqual([]);
    await scan(0, 4, "49 hours");
    expect(await red("content.none")).toEqual(["canary_old"]);
    await scan(0, 4, "3 minutes");
    expect(await red("content.none")).toEqual([]);
    await scan(0, 3, "2 minutes");
    expect(await red("content.images")).toEqual(["canary_blind"]);
    await scan(1, 4, "1 minute");
    expect(await red("content.none")).toEqual(["canary_hits"]);
    const { document } = await policyFunction.evidence();
    expect(JSON.parse(document).canary).toMatchObject({ bytes_searched: 5_000_000_000, hits: 1 });
  });

  test("is red for a right whose function does not answer (right.access, right.correct, right.export)", async () => {
    await healthy();
    const silent = await withSettings({ ask: async (url) => (url.startsWith("http://export") ? undefined : "") });
    expect(await silent.red("right.export")).toEqual(["function_silent"]);
    expect([await silent.red("right.access"), await silent.red("right.correct")]).toEqual([[], []]);
  });

  test("turns red two hours after the database last answered, and never green without it (keep.*)", async () => {
    await healthy();
    let isAway = false;
    let asked = 0;
    const inner = connect({ url: db.urlFor("policy"), connections: 2 });
    const database: DatabasePool = {
      run: (query) => {
        asked += 1;
        return isAway ? Promise.reject(new Error("away")) : query(inner);
      },
      close: () => inner.end(),
    };
    const lone = await withSettings({ database });
    expect(await lone.red("keep.usage")).toEqual([]);
    isAway = true;
    lone.pass(118 * minuteMs);
    expect(await lone.red("keep.usage")).toEqual([]);
    lone.pass(minuteMs);
    expect(await lone.red("keep.usage")).toEqual(["evidence_old"]);
    // However many ask, the database is asked once a minute: for facts, and for whether it is there.
    asked = 0;
    lone.pass(minuteMs);
    await Promise.all(Array.from({ length: 500 }, () => lone.get("/policy")));
    expect(asked).toBe(2);
    const { judgements } = await createPolicy(db, { database }).evidence();
    expect(judgements.find(({ id }) => id === "keep.usage")!.findings).toEqual([{ code: "evidence_missing" }]);
  });
});

describe("the views of the evidence", () => {
  test("cannot be read, written or replaced by purge's role, nor can anything else be read by policy's (keep.*)", async () => {
    const purge = connect({ url: db.urlFor("purge"), connections: 1 });
    const denied = { code: "42501" };
    for (const table of ["evidence_oldest", "evidence_purge", "attestations", "canary_scans", "audit_days"]) {
      await expect(purge`select from ${purge(table)}`).rejects.toMatchObject(denied);
      await expect(purge`delete from ${purge(table)}`).rejects.toThrow();
    }
    await expect(purge`create or replace view evidence_oldest as select 'accounts'::purge_step as store, now() as oldest_at`).rejects.toMatchObject(denied);
    await expect(purge`create or replace function evidence_due_erasures(p_days integer, out accounts bigint, out oldest_at timestamptz) language sql as 'select 0, null'`).rejects.toMatchObject(denied);
    await expect(purge`insert into canary_scans default values`).rejects.toMatchObject(denied);
    await purge.end();

    const own = connect({ url: db.urlFor("policy"), connections: 1 });
    for (const table of ["accounts", "persons", "usage_events", "billing_events", "audit_log", "attestations", "purge_runs"]) {
      await expect(own`select from ${own(table)}`).rejects.toMatchObject(denied);
    }
    await expect(own`delete from evidence_oldest`).rejects.toThrow();
    await own.end();
  });

  test("tell of a scan what its job counted, who may do nothing else", async () => {
    await sql.begin(async (transaction) => {
      await transaction`set local role epithre_canary`;
      await transaction`select record_canary_scan(1000000, 4, 2, 0, 4)`;
    });
    await expect(sql.begin(async (transaction) => {
      await transaction`set local role epithre_canary`;
      await transaction`select from canary_scans`;
    })).rejects.toMatchObject({ code: "42501" });
    await expect(sql`select record_canary_scan(1, 1, 0, 0, 2)`).rejects.toMatchObject({ code: "23514" });
    expect((await policyFunction.evidence()).facts!.canary).toMatchObject({ bytesSearched: 1_000_000, storesSearched: 4, controlsFound: 4, hits: 0 });
  });
});
