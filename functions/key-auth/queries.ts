/** All SQL of key-auth. It only reads, but for what keys have used of their limits in the last minute. */
import type { z } from "zod";
import type { Sql } from "#shared/db.ts";
import type { SessionAnswer } from "#shared/sessions.ts";
import type { ChangesAnswer, SlicesAnswer, SlicesRequest, Throttle, Verdict } from "./schema.ts";
import type { SessionClaims } from "./sessions.ts";

/** Changes that one answer lists; with more, forgetting every verdict is cheaper than naming them. */
const changesMax = 1_000;

/** A cursor is an 8-byte transaction id as text. */
const cursorPattern = /^\d{1,19}$/;

/** In the order of the hashes (lower-case hex); `null` where no live key has the hash. */
export async function findVerdicts(sql: Sql, hashes: string[]): Promise<(Verdict | null)[]> {
  const rows = await sql<({ hash: string; throttle: Throttle | null } & Omit<Verdict, "throttle">)[]>`
    select
      encode(k.hash, 'hex') as hash,
      k.id as "keyId",
      k.account_id as "accountId",
      a.status as "accountStatus",
      k.scopes,
      k.models,
      floor(extract(epoch from k.expires_at) * 1000)::float8 as "expiresAtMs",
      k.requests_per_minute as "requestsPerMinute",
      k.tokens_per_minute as "tokensPerMinute",
      k.monthly_budget_micro::text as "monthlyBudgetMicro",
      case when t.account_id is not null then json_build_object(
        'keyId', (select o.id from api_keys o where o.account_id = k.account_id order by o.id limit 1),
        'requestsPerMinute', t.requests_per_minute,
        'signal', t.signal,
        'endsAtMs', floor(extract(epoch from t.ends_at) * 1000)
      ) end as throttle
    from api_keys k
    join accounts a on a.id = k.account_id
    left join throttles t on t.account_id = a.id and t.ends_at > now() and not t.lifted
    where k.hash = any (select decode(listed.hash, 'hex') from unnest(${hashes}::text[]) as listed (hash))
      and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > now())
  `;
  const verdicts = new Map(rows.map(({ hash, throttle, ...verdict }) => [hash, throttle ? { ...verdict, throttle } : verdict]));
  return hashes.map((hash) => verdicts.get(hash) ?? null);
}

/** The account of a session that began then; `null` where sessions of that time were ended, or the account is closed. */
export async function findSession(sql: Sql, { accountId, startedAtMs }: SessionClaims): Promise<SessionAnswer["session"]> {
  const [row] = await sql<NonNullable<SessionAnswer["session"]>[]>`
    select id as "accountId", status as "accountStatus" from accounts
    where id = ${accountId} and status <> 'closed'
      and (sessions_from is null or extract(epoch from sessions_from) * 1000 <= ${startedAtMs}::numeric)
  `;
  return row ?? null;
}

/**
 * What changed since `cursor`, which is the oldest transaction that was still running at the last look: each change
 * carries the id of its transaction, so one that was not visible then has an id from there on. A transaction that
 * began early and commits late is therefore never missed; what was running at both looks comes twice. `reset` where
 * there is too much to list, or the cursor is none of this database's.
 */
export async function findChanges(sql: Sql, cursor: string | null): Promise<z.input<typeof ChangesAnswer>> {
  const since = cursor !== null && cursorPattern.test(cursor) ? cursor : null;
  const [row] = await sql<
    { next: string; nowMs: number; known: boolean; keyHashes: string[]; accounts: ChangesAnswer["accounts"] }[]
  >`
    with look as (
      select
        pg_snapshot_xmin(pg_current_snapshot()) as next,
        ${since}::text::xid8 as since,
        coalesce(${since}::text::xid8 <= pg_snapshot_xmin(pg_current_snapshot()), false) as known
    ), changed_keys as (
      select encode(hash, 'hex') as hash
      from api_keys
      where changed_xid >= (select since from look)
      order by changed_xid
      limit ${changesMax + 1}
    ), changed_accounts as (
      select json_build_object('accountId', id, 'status', status) as account
      from accounts
      where changed_xid >= (select since from look)
      order by changed_xid
      limit ${changesMax + 1}
    )
    select
      next::text as next,
      known,
      (extract(epoch from clock_timestamp()) * 1000)::float8 as "nowMs",
      array(select hash from changed_keys) as "keyHashes",
      coalesce((select json_agg(account) from changed_accounts), '[]') as accounts
    from look
  `;
  const { next, nowMs, known, keyHashes, accounts } = row!;
  const reset = cursor !== null && (!known || keyHashes.length + accounts.length > changesMax);
  const listed = reset ? { keyHashes: [], accounts: [] } : { keyHashes, accounts };
  return { cursor: next, databaseNowMs: nowMs, reset, ...listed };
}

/** Slices of keys' limits, which all replicas share: infra/db/migrations/0021_key_rates.sql. */
export async function takeSlices(sql: Sql, { slices }: z.output<typeof SlicesRequest>): Promise<SlicesAnswer["slices"]> {
  const lines = slices.map(({ keyId, unit, first, waiting, ahead, corrections }) => ({
    key_id: keyId,
    unit,
    first,
    waiting,
    ahead,
    ages: corrections.map(({ ageS }) => ageS),
    amounts: corrections.map(({ amount }) => amount),
  }));
  const rows = await sql<{ granted: bigint; remaining: bigint; waitMs: number; resetMs: number }[]>`
    select granted, remaining, wait_ms as "waitMs", reset_ms as "resetMs" from take_rates(${sql.json(lines)})
  `;
  return rows.map(({ granted, remaining, waitMs, resetMs }) => ({
    granted: Number(granted),
    remaining: Number(remaining),
    waitMs,
    resetMs,
  }));
}

/** Forgets what keys used that have been idle for two minutes. */
export async function forgetIdleRates(sql: Sql): Promise<void> {
  await sql`select forget_idle_rates()`;
}
