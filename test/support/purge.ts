/** Purge as its tests run it: the handler on its own role, with rows that are as old as a test needs. */
import { randomBytes } from "node:crypto";
import { type Clock, systemClock } from "#shared/clock.ts";
import { connect, type Sql } from "#shared/db.ts";
import type { LogLine } from "#shared/log.ts";
import { createHandler } from "../../functions/purge/handler.ts";
import type { TestDatabase } from "./database.ts";

export interface Purge {
  /** One call as the schedule makes it: the status, and what it answers. */
  run(): Promise<{ status: number; outcome: string | undefined }>;
  lines: LogLine[];
}

export function createPurge(db: Pick<TestDatabase, "urlFor">, given: { backupWindowDays?: number; clock?: Clock } = {}): Purge {
  const lines: LogLine[] = [];
  const handler = createHandler({
    open: () => connect({ url: db.urlFor("purge"), connections: 1 }),
    backupWindowDays: given.backupWindowDays ?? null,
    clock: given.clock ?? systemClock,
    log: (line) => void lines.push(line),
  });
  return {
    lines,
    async run() {
      const response = await handler(new Request("http://function/", { method: "POST" }));
      const { outcome } = (await response.json()) as { outcome?: string };
      return { status: response.status, outcome };
    },
  };
}

/** One run of a purge of its own. */
export async function purgeOnce(db: Pick<TestDatabase, "urlFor">, given: Parameters<typeof createPurge>[1] = {}): Promise<Purge> {
  const purge = createPurge(db, given);
  const { status, outcome } = await purge.run();
  if (status !== 200 || outcome !== "finished") throw new Error(`Purge answered ${status}, ${outcome}`);
  return purge;
}

/** Throws when it is looked at for the nth time: the run ends there, as if its process had died. */
export function clockThatEndsRuns(looks: number): Clock {
  let left = looks;
  return {
    ...systemClock,
    monotonicMs() {
      left -= 1;
      if (left <= 0) throw new Error("ended");
      return systemClock.monotonicMs();
    },
  };
}

/** A slice of one hour, `age` (an interval) ago to the hour; `roundUp` begins it at the hour after. Answers its name. */
export async function addSlice(sql: Sql, age: string, roundUp = false): Promise<string> {
  const [row] = await sql<{ name: string; from: string; to: string }[]>`
    with slice as (
      select date_trunc('hour', now() - ${age}::interval) + make_interval(hours => ${roundUp ? 1 : 0}) as start
    )
    select
      'usage_events_' || to_char(start at time zone 'UTC', 'YYYYMMDDHH24') as name,
      uuidv7_floor(start) as from, uuidv7_floor(start + interval '1 hour') as to
    from slice
  `;
  const { name, from, to } = row!;
  await createSlice(sql, name, from, to);
  return name;
}

/** Of ids from one to before another; it belongs to the owner of all of them. */
export async function createSlice(sql: Sql, name: string, from: string, to: string): Promise<void> {
  // The bounds are ours; DDL takes no parameters.
  await sql.unsafe(`
    create table if not exists ${name} partition of usage_events for values from ('${from}') to ('${to}');
    alter table ${name} owner to epithre_owner;
  `);
}

/** Usage events of an account in a slice, the first as old as the slice itself. */
export async function addUsage(sql: Sql, slice: string, accountId: string, keyId = accountId, count = 1): Promise<void> {
  await sql`
    insert into usage_events (
      id, account_id, key_id, cost_micro, price_version, prompt_tokens, cached_tokens, completion_tokens,
      reasoning_tokens, images, latency_ms, endpoint, model_id, status
    )
    select
      overlay(
        uuidv7_floor(to_timestamp(right(${slice}, 10) || '+00', 'YYYYMMDDHH24TZH') + n * interval '1 millisecond')::text
        placing '-7000-8000-' || encode(${randomBytes(6)}::bytea, 'hex') from 14
      )::uuid,
      ${accountId}, ${keyId}, 1, 1, 1, 0, 1, 0, 0, 1, 'chat.completions', 1, 200
    from generate_series(0, ${count - 1}) as n
  `;
}

/** An export that was asked for so long ago; answers its id. */
export async function addExport(sql: Sql, accountId: string, age: string): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    insert into usage_exports (account_id, created_at, from_day) values (${accountId}, now() - ${age}::interval, current_date) returning id
  `;
  return row!.id;
}

export async function slices(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select inhrelid::regclass::text as name from pg_inherits where inhparent = 'usage_events'::regclass
  `;
  return rows.map(({ name }) => name);
}
