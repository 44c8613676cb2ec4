import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "#shared/clock.ts";
import { connect, sqlState, type Sql } from "#shared/db.ts";
import { sign, signatureHeader } from "#shared/http.ts";
import { generateKey, hashKey } from "#shared/keys.ts";
import { createHandler } from "../../functions/key-auth/handler.ts";
import { findChanges, findVerdicts } from "../../functions/key-auth/queries.ts";
import { ChangesAnswer, Verdict } from "../../functions/key-auth/schema.ts";
import { addKey, addModel, openAccount } from "../support/accounts.ts";
import { createTestDatabase } from "../support/database.ts";

const database = await createTestDatabase();
const { sql: owner } = database;
const keyAuth = connect({ url: database.urlFor("key-auth") });
await addModel(owner, "test-chat");

afterAll(async () => {
  await keyAuth.end();
  await database.close();
});

const verdictOf = async (hash: string) => (await findVerdicts(keyAuth, [hash]))[0]!;

describe("findVerdicts()", () => {
  test("says what a key may do, in the order asked, and null for what no live key has", async () => {
    const accountId = await openAccount(owner);
    const [plain, limited] = [await addKey(owner, accountId), await addKey(owner, accountId)];
    await owner`
      update api_keys set models = array['test-chat'], requests_per_minute = 7, tokens_per_minute = 9, monthly_budget_micro = 10000000000000001,
        scopes = array['usage'], expires_at = '2126-01-02T03:04:05.678Z'
      where id = ${limited.keyId}
    `;
    const verdicts = await findVerdicts(keyAuth, [hashKey(generateKey()), limited.hash, plain.hash, limited.hash]);
    expect(verdicts.map((verdict) => verdict && Verdict.parse(verdict))).toEqual(verdicts);
    const expected = {
      keyId: limited.keyId,
      accountId,
      accountStatus: "active",
      scopes: ["usage"],
      models: ["test-chat"],
      expiresAtMs: Date.parse("2126-01-02T03:04:05.678Z"),
      requestsPerMinute: 7,
      tokensPerMinute: 9,
      monthlyBudgetMicro: "10000000000000001",
    };
    expect(verdicts[0]).toBeNull();
    expect(verdicts[1]).toEqual(expected);
    expect(verdicts[2]).toMatchObject({ keyId: plain.keyId, models: null, expiresAtMs: null, requestsPerMinute: null });
    expect(verdicts[3]).toEqual(expected);
  });

  test("is null for a revoked or expired key; a suspended or closed account shows as such", async () => {
    const accountId = await openAccount(owner);
    const [revoked, expired, live] = [await addKey(owner, accountId), await addKey(owner, accountId), await addKey(owner, accountId)];
    await owner`update api_keys set revoked_at = now() where id = ${revoked.keyId}`;
    await owner`update api_keys set expires_at = now() where id = ${expired.keyId}`;
    expect(await verdictOf(revoked.hash)).toBeNull();
    expect(await verdictOf(expired.hash)).toBeNull();
    await owner`update accounts set status = 'suspended' where id = ${accountId}`;
    expect(await verdictOf(live.hash)).toMatchObject({ accountStatus: "suspended" });
    await owner`update accounts set status = 'closed', closed_at = now() where id = ${accountId}`;
    expect(await verdictOf(live.hash)).toMatchObject({ accountStatus: "closed" });
  });
});

describe("a throttle", () => {
  test("is in the verdict about each key of its account while it is in force, and the feed names the account (use.usage)", async () => {
    const [accountId, other] = [await openAccount(owner), await openAccount(owner)];
    const [oldest, newest, bystander] = [await addKey(owner, accountId), await addKey(owner, accountId), await addKey(owner, other)];
    await owner`
      insert into throttles (account_id, signal, requests_per_minute, began_at, ends_at)
      values (${accountId}, 'left', 3, '2126-01-02T03:00:00Z', '2126-01-02T03:04:05.678Z')
    `;
    const throttle = { keyId: oldest.keyId, requestsPerMinute: 3, signal: "left", endsAtMs: Date.parse("2126-01-02T03:04:05.678Z") };
    for (const { hash } of [oldest, newest]) expect(Verdict.parse(await verdictOf(hash)).throttle).toEqual(throttle);
    expect(await verdictOf(bystander.hash)).not.toHaveProperty("throttle");

    const poll = follow(await startCursor());
    await poll();
    await owner`select admin_lift_throttle(${accountId})`;
    expect((await poll()).accounts).toContainEqual({ accountId, status: "active" });
    expect(await verdictOf(newest.hash)).not.toHaveProperty("throttle");
    await owner`update throttles set lifted = false, began_at = now() - interval '1 hour', ends_at = now() where account_id = ${accountId}`;
    expect(await verdictOf(newest.hash)).not.toHaveProperty("throttle");
  });
});

/** Follows the feed as a proxy does. */
function follow(from: string) {
  let cursor = from;
  return async function poll() {
    const changes = ChangesAnswer.parse(await findChanges(keyAuth, cursor));
    cursor = changes.cursor;
    return changes;
  };
}

const startCursor = async () => (await findChanges(keyAuth, null)).cursor;

describe("findChanges()", () => {
  test("lists new, changed and revoked keys, and accounts with their status", async () => {
    const poll = follow(await startCursor());
    const accountId = await openAccount(owner);
    const { hash, keyId } = await addKey(owner, accountId);
    const created = await poll();
    expect(created).toMatchObject({ reset: false });
    expect(created.keyHashes).toContain(hash);
    expect(created.accounts).toContainEqual({ accountId, status: "active" });
    await owner`update api_keys set revoked_at = now() where id = ${keyId}`;
    expect((await poll()).keyHashes).toContain(hash);
    await owner`update accounts set status = 'suspended' where id = ${accountId}`;
    expect((await poll()).accounts).toContainEqual({ accountId, status: "suspended" });
  });

  test("tells the database's time", async () => {
    const { databaseNowMs } = await findChanges(keyAuth, null);
    const [row] = await owner<{ now: Date }[]>`select clock_timestamp() as now`;
    expect(Math.abs(row!.now.getTime() - databaseNowMs)).toBeLessThan(5_000);
  });

  test("never misses a transaction that began first and commits last", async () => {
    const accountId = await openAccount(owner);
    const [early, late] = [await addKey(owner, accountId), await addKey(owner, accountId)];
    const poll = follow(await startCursor());
    await poll();
    const [written, mayCommit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const slow = owner.begin(async (sql) => {
      await sql`update api_keys set revoked_at = now() where id = ${early.keyId}`;
      written.resolve();
      await mayCommit.promise;
    });
    await written.promise;
    await owner`update api_keys set revoked_at = now() where id = ${late.keyId}`;
    const before = await poll();
    expect(before.keyHashes).toContain(late.hash);
    expect(before.keyHashes).not.toContain(early.hash);
    mayCommit.resolve();
    await slow;
    expect((await poll()).keyHashes).toContain(early.hash);
  });

  test("never misses a change when many transactions commit in odd orders", async () => {
    const accountId = await openAccount(owner);
    const keys = await Promise.all(Array.from({ length: 60 }, () => addKey(owner, accountId)));
    const seen = new Set<string>();
    const poll = follow(await startCursor());
    let writing = true;
    const polling = (async () => {
      while (writing) for (const hash of (await poll()).keyHashes) seen.add(hash);
    })();
    const writers = Array.from({ length: 12 }, async (_, writer) => {
      for (const [index, { keyId }] of keys.entries()) {
        if (index % 12 !== writer) continue;
        await owner.begin(async (sql) => {
          await sql`update api_keys set revoked_at = now() where id = ${keyId}`;
          // Some stay open over several polls, so that later ones commit before them.
          await delay((writer * 7 + index) % 23);
        });
      }
    });
    await Promise.all(writers);
    writing = false;
    await polling;
    for (const hash of (await poll()).keyHashes) seen.add(hash);
    expect(keys.filter(({ hash }) => !seen.has(hash))).toEqual([]);
  });

  test("resets where there is too much to list, or the cursor is none of this database's", async () => {
    const reset = { reset: true, keyHashes: [], accounts: [] };
    expect(await findChanges(keyAuth, "9223372036854775807")).toMatchObject(reset);
    expect(await findChanges(keyAuth, "not a cursor")).toMatchObject(reset);
    expect(await findChanges(keyAuth, null)).toMatchObject({ ...reset, reset: false });
    const poll = follow(await startCursor());
    await owner`insert into accounts select from generate_series(1, 1001)`;
    expect(await poll()).toMatchObject(reset);
    const next = await poll();
    expect(next.reset && next.accounts.length === 0).toBe(false);
  });
});

describe("keys and accounts", () => {
  async function stateOf(query: Promise<unknown>): Promise<string> {
    return query.then(() => "none", sqlState);
  }

  test("go only after the feed has told their end", async () => {
    const accountId = await openAccount(owner);
    const { keyId } = await addKey(owner, accountId);
    expect(await stateOf(owner`delete from api_keys where id = ${keyId}`)).toBe("EP409");
    await owner`update api_keys set revoked_at = now() where id = ${keyId}`;
    await owner`delete from api_keys where id = ${keyId}`;
    expect(await stateOf(owner`delete from accounts where id = ${accountId}`)).toBe("EP409");
    const other = await addKey(owner, accountId);
    await owner`update accounts set status = 'closed', closed_at = now() where id = ${accountId}`;
    await owner`delete from api_keys where id = ${other.keyId}`;
    await owner`delete from accounts where id = ${accountId}`;
  });

  test("hold no text but the key's name: scopes, models and prefix are checked (keep.key)", async () => {
    const accountId = await openAccount(owner);
    const { keyId } = await addKey(owner, accountId);
    expect(await stateOf(owner`update api_keys set scopes = array['chat', 'a note'] where id = ${keyId}`)).toBe("23514");
    expect(await stateOf(owner`update api_keys set scopes = '{}' where id = ${keyId}`)).toBe("23514");
    expect(await stateOf(owner`update api_keys set models = array['a note'] where id = ${keyId}`)).toBe("EP404");
    expect(await stateOf(owner`update api_keys set prefix = 'a note' where id = ${keyId}`)).toBe("23514");
    expect(await stateOf(owner`update api_keys set name = repeat('x', 65) where id = ${keyId}`)).toBe("23514");
    expect(await stateOf(owner`update api_keys set hash = '\\x00' where id = ${keyId}`)).toBe("23514");
  });

  test("are all that key-auth's role can read, and it can change nothing", async () => {
    const forbidden: ((sql: Sql) => Promise<unknown>)[] = [
      (sql) => sql`select from persons`,
      (sql) => sql`select audit_alias from accounts`,
      (sql) => sql`select from usage_events`,
      (sql) => sql`select from balances`,
      (sql) => sql`select from key_rates`,
      (sql) => sql`delete from key_rates`,
      (sql) => sql`update api_keys set revoked_at = null`,
      (sql) => sql`insert into accounts default values`,
      (sql) => sql`create temporary table mine ()`,
    ];
    for (const query of forbidden) expect([String(query), await stateOf(query(keyAuth))]).toEqual([String(query), "42501"]);
  });
});

describe("key-auth's handler", () => {
  const edgeSecrets = { proxy: "an edge secret of tests", export: "another edge secret of tests" };
  const handler = createHandler({ edgeSecrets, clock: systemClock, database: { run: (query) => query(keyAuth), close: async () => {} } });

  async function call(from: "proxy" | "export" | "billing", path: string, body: unknown) {
    const text = JSON.stringify(body);
    const edgeSecret = from === "billing" ? edgeSecrets.proxy : edgeSecrets[from];
    const headers = { [signatureHeader]: sign(edgeSecret, { from, to: "key-auth", path, body: text }) };
    const response = await handler(new Request(`http://key-auth${path}`, { method: "POST", headers, body: text }));
    return { status: response.status, answer: await response.json() as any };
  }

  test("answers proxy and export, and nobody else", async () => {
    const { hash, keyId } = await addKey(owner, await openAccount(owner));
    for (const from of ["proxy", "export"] as const) {
      const { answer } = await call(from, "/verdicts", { hashes: [hash, hashKey(randomUUID())] });
      expect(answer.verdicts).toMatchObject([{ keyId }, null]);
    }
    expect((await call("billing", "/verdicts", { hashes: [hash] })).status).toBe(401);
  });

  test("gives a cursor and then what changed since", async () => {
    const first = await call("proxy", "/changes", { cursor: null });
    expect(first.answer).toMatchObject({ reset: false, keyHashes: [], accounts: [] });
    const { hash } = await addKey(owner, await openAccount(owner));
    const { answer } = await call("proxy", "/changes", { cursor: first.answer.cursor });
    expect(answer.keyHashes).toContain(hash);
  });

  test("refuses a raw key and anything else that is no hash (sec.key)", async () => {
    expect((await call("proxy", "/verdicts", { hashes: [generateKey()] })).status).toBe(400);
  });
});
