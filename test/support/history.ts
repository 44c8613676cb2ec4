/** What an account did in the past months: events and usage as old as a test needs, and the balance that they left. */
import { randomUUID } from "node:crypto";
import type { Sql } from "#shared/db.ts";
import { uuidv7 } from "#shared/ids.ts";
import type { BillingKind } from "./accounts.ts";

export interface PastEvent {
  atMs: number;
  kind: BillingKind;
  amountMicro: number;
}

export interface PastUsage {
  atMs: number;
  model: string;
  costMicro: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  images: number;
}

/** Makes the database old: its slices go back for this many months, as if it had been there all the time. */
export async function makeOld(sql: Sql, months: number): Promise<void> {
  await sql`update migrations set applied_at = now() - make_interval(months => ${months})`;
  const starts = await sql<{ name: string; from: string; to: string }[]>`
    select usage_slice_name(start) as name, uuidv7_floor(start) as from, uuidv7_floor(start + interval '4 hours') as to
    from generate_series(usage_slice_start(now() - make_interval(months => ${months})), now(), interval '4 hours') as start
    where to_regclass(usage_slice_name(start)) is null
  `;
  const statements = starts.map(({ name, from, to }) => `create table ${name} partition of usage_events for values from ('${from}') to ('${to}')`);
  // The bounds are ours; DDL takes no parameters.
  await sql.unsafe(statements.join(";"));
}

/** An account that was opened then. */
export async function openOldAccount(sql: Sql, atMs: number): Promise<string> {
  const id = uuidv7(atMs);
  await sql`insert into accounts (id) values (${id})`;
  return id;
}

/** The history, with a lease that runs and has used the last part of it. Its events must pay for its usage. */
export async function addHistory(sql: Sql, accountId: string, events: PastEvent[], usage: PastUsage[], inLeaseMicro = 0): Promise<void> {
  const sum = (amounts: number[]) => amounts.reduce((all, amount) => all + amount, 0);
  const [creditedMicro, consumedMicro] = [sum(events.map((event) => event.amountMicro)), sum(usage.map((row) => row.costMicro))];
  await sql.begin(async (transaction) => {
    for (const { atMs, kind, amountMicro } of events) {
      const [event] = await transaction<{ id: string }[]>`
        insert into billing_events (account_id, kind, amount_micro, reason, idempotency_key, created_at)
        values (${accountId}, ${kind}, ${amountMicro}, 'bank_transfer', ${randomUUID()}, ${new Date(atMs)})
        returning id
      `;
      await transaction`
        insert into ledger_entries (event_id, ledger_account, account_id, amount_micro)
        values (${event!.id}, 'customer', ${accountId}, ${amountMicro}), (${event!.id}, 'bank', null, ${-amountMicro})
      `;
    }
    for (const row of usage) {
      await transaction`
        insert into usage_events (
          id, account_id, key_id, cost_micro, price_version, prompt_tokens, cached_tokens, completion_tokens,
          reasoning_tokens, images, latency_ms, endpoint, model_id, status
        )
        select
          ${uuidv7(row.atMs)}, ${accountId}, ${accountId}, ${row.costMicro}, 1, ${row.promptTokens}, ${row.cachedTokens},
          ${row.completionTokens}, ${row.reasoningTokens}, ${row.images}, 1, 'chat.completions', id, 200
        from models where name = ${row.model}
      `;
    }
    await transaction`
      insert into balances (account_id, credited_micro, consumed_micro, leased_micro)
      values (${accountId}, ${creditedMicro}, ${consumedMicro - inLeaseMicro}, ${inLeaseMicro})
    `;
    await transaction`
      insert into leases (account_id, replica_id, granted_micro, consumed_micro, expires_at)
      values (${accountId}, ${randomUUID()}, ${inLeaseMicro}, ${inLeaseMicro}, now() + interval '1 hour')
    `;
  });
}
