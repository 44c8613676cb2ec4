/** All SQL of billing. What must be atomic (grants, returns, closes, alerts, top-ups) is an SQL function of a migration. */
import type { z } from "zod";
import { sqlState, type Sql } from "#shared/db.ts";
import type { Invoice } from "./invoices.ts";
import { changesOf, reportRows, requestRows, type LeaseAnswer, type LeaseCall } from "./lease-changes.ts";
import type { BalanceAnswer, BillingKind, BillingReason, Grant, Model } from "./schema.ts";

/** Milliseconds after which a grant that waits for a recall is asked for again: replicas answer within about 250. */
const recallRetryMs = 50;

/** Accounts whose expired leases one call closes. */
const expiredAccountsMax = 100;

/** Unpaid invoices that an account can have at once. */
export const openInvoicesMax = 5;

/** Invoices that an account can ask for within a day: each is a mail. */
export const topUpsPerDayMax = 20;

interface MoveRow {
  living: string[];
  recalled: string[] | null;
  recalled_of: string[];
}

interface GrantsRow {
  outcomes: Grant["outcome"][];
  leases: string[];
  granted: bigint[];
  covered: number[];
  available: bigint[];
  renews_at_ms: number;
}

/** What a set is refused with: by lease_move() itself, or where an account would have less than nothing. */
const notInSetStates = new Set(["EP000", "23514"]);

/**
 * Calls of several replicas in one transaction, in a set; answers each, in order, as if it had come alone. `undefined`
 * where they must be looked at one by one: nothing was done.
 */
export async function moveLeasesInSet(sql: Sql, calls: LeaseCall[], ttlMs: number): Promise<LeaseAnswer[] | undefined> {
  const changes = changesOf(calls, Date.now());
  if (!changes) return undefined;
  try {
    const [row] = await sql<[MoveRow]>`
      select living, recalled, recalled_of from lease_move(
        ${ttlMs}::integer * interval '1 millisecond', ${arrayText(changes.rows)}::lease_change[], '{}', ${replicasThatReport(calls)}::uuid[]
      )
    `;
    return answersOf(calls, row, ttlMs, (at, needs) => ({ outcome: "granted", ...changes.grants[at]!, needsCovered: needs, ttlMs }));
  } catch (thrown) {
    if (notInSetStates.has(sqlState(thrown))) return undefined;
    throw thrown;
  }
}

/** As `moveLeasesInSet`, whatever the calls ask for. */
export async function moveLeasesOneByOne(sql: Sql, calls: LeaseCall[], ttlMs: number): Promise<LeaseAnswer[]> {
  const [row] = await sql<[MoveRow & GrantsRow]>`
    select m.*, extract(epoch from date_trunc('month', now(), 'UTC') + interval '1 month')::float8 * 1000 as renews_at_ms
    from lease_move(
      ${ttlMs}::integer * interval '1 millisecond', ${arrayText(reportRows(calls))}::lease_change[],
      ${arrayText(requestRows(calls))}::lease_request[], ${replicasThatReport(calls)}::uuid[]
    ) as m
  `;
  return answersOf(calls, row, ttlMs, (at): Grant => {
    const outcome = row.outcomes[at]!;
    if (outcome === "recalling") return { outcome, retryMs: recallRetryMs };
    const availableMicro = Number(row.available[at]);
    if (outcome === "insufficient") return { outcome, availableMicro };
    if (outcome === "over_budget") return { outcome, availableMicro, renewsAtMs: row.renews_at_ms };
    return { outcome, leaseId: row.leases[at]!, grantedMicro: Number(row.granted[at]), needsCovered: row.covered[at]!, ttlMs };
  });
}

/** They are told of recalls. */
const replicasThatReport = (calls: LeaseCall[]) => calls.filter(({ requests }) => requests.length === 0).map(({ replicaId }) => replicaId);

function answersOf(calls: LeaseCall[], row: MoveRow, ttlMs: number, grantAt: (at: number, needs: number) => Grant): LeaseAnswer[] {
  const living = new Set(row.living);
  let at = 0;
  return calls.map(({ replicaId, requests, reports }) => ({
    grants: requests.map(({ needsMicro }) => grantAt(at++, needsMicro.length)),
    leases: reports.map(({ leaseId }) => ({ gone: !living.has(leaseId), ttlMs })),
    recalled: (row.recalled ?? []).filter((_, index) => row.recalled_of[index] === replicaId),
  }));
}

const arrayText = (rows: string[]) => `{${rows.join(",")}}`;

/** Gives the money of expired leases back to their accounts. */
export async function closeExpiredLeases(sql: Sql): Promise<void> {
  await sql`select close_expired_leases(${expiredAccountsMax})`;
}

/** With a key that has a monthly budget, also what it has spent of it. */
export async function findBalance(sql: Sql, accountId: string, keyId?: string): Promise<z.output<typeof BalanceAnswer>> {
  const [row] = await sql<{ balance: string; available: string }[]>`
    select
      (b.credited_micro - b.consumed_micro - coalesce(sum(l.consumed_micro), 0))::text as balance,
      (b.credited_micro - b.consumed_micro - b.leased_micro)::text as available
    from balances b
    left join leases l on l.account_id = b.account_id
    where b.account_id = ${accountId}
    group by b.account_id
  `;
  const balance = { balanceMicro: row?.balance ?? "0", availableMicro: row?.available ?? "0" };
  return keyId === undefined ? balance : { ...balance, budget: await findSpending(sql, keyId) };
}

/** What a key with a budget has spent this month; nothing while no call of this month has asked for money. */
async function findSpending(sql: Sql, keyId: string): Promise<z.output<typeof BalanceAnswer>["budget"]> {
  const [row] = await sql<{ spentMicro: string; renewsAtMs: number }[]>`
    with running as (select date_trunc('month', now(), 'UTC') as since)
    select
      coalesce((
        select b.spent_micro + coalesce((select sum(l.consumed_micro) from leases l where l.key_id = b.key_id), 0)
        from key_budgets b
        where b.key_id = ${keyId} and b.month >= (since at time zone 'UTC')::date
      ), 0)::text as "spentMicro",
      extract(epoch from since + interval '1 month')::float8 * 1000 as "renewsAtMs"
    from running
  `;
  return row!;
}

/** The balance below which the account is mailed, in micro-rupiah; null for none. */
export async function findAlert(sql: Sql, accountId: string): Promise<bigint | null> {
  const [row] = await sql<{ threshold: bigint | null }[]>`select balance_alert(${accountId}) as threshold`;
  return row!.threshold;
}

export async function setAlert(sql: Sql, accountId: string, thresholdMicro: bigint | null): Promise<void> {
  await sql`select set_balance_alert(${accountId}, ${thresholdMicro === null ? null : String(thresholdMicro)}::bigint)`;
}

/** Months of which the account can have a statement, the last one first, and the database's time. */
export async function findStatementMonths(sql: Sql, accountId: string): Promise<{ months: string[]; nowMs: number }> {
  const [row] = await sql<{ months: string[]; now_ms: number }[]>`
    select
      array(select to_char(month, 'YYYY-MM') from statement_months(${accountId}) as month) as months,
      (extract(epoch from now()) * 1000)::float8 as now_ms
  `;
  return { months: row!.months, nowMs: Math.floor(row!.now_ms) };
}

/** What happened to an account's money beside usage; `amountMicro` is what it added. */
export interface BillingEvent {
  at: Date;
  kind: BillingKind;
  reason: BillingReason;
  amountMicro: bigint;
}

export async function findEvents(sql: Sql, accountId: string, fromMs: number, untilMs: number): Promise<BillingEvent[]> {
  return sql<BillingEvent[]>`
    select created_at as at, kind, reason, amount_micro as "amountMicro"
    from billing_events_between(${accountId}, ${new Date(fromMs)}, ${new Date(untilMs)})
  `;
}

/** What an account used of a model in a time. Tokens add up over all requests, beyond what a `number` holds. */
export interface ModelUsage {
  model: string;
  requests: bigint;
  promptTokens: bigint;
  cachedTokens: bigint;
  completionTokens: bigint;
  reasoningTokens: bigint;
  images: bigint;
  costMicro: bigint;
}

export async function findUsage(sql: Sql, accountId: string, fromMs: number, untilMs: number): Promise<ModelUsage[]> {
  return sql<ModelUsage[]>`
    select
      model, requests, prompt_tokens as "promptTokens", cached_tokens as "cachedTokens",
      completion_tokens as "completionTokens", reasoning_tokens as "reasoningTokens", images, cost_micro as "costMicro"
    from usage_by_model(${accountId}, ${new Date(fromMs)}, ${new Date(untilMs)})
  `;
}

/** The balance at a moment, in micro-rupiah. */
export async function balanceAt(sql: Sql, accountId: string, atMs: number): Promise<bigint> {
  const [row] = await sql<{ micro: bigint }[]>`select balance_at(${accountId}, ${new Date(atMs)}) as micro`;
  return row!.micro;
}

/**
 * Models that have a price, each with its prices of the future and of the last hour: a caller whose clock is behind
 * still finds the one that is in force for it.
 */
export async function findPriceBook(sql: Sql): Promise<Model[]> {
  const rows = await sql<{ model: Model }[]>`
    select json_build_object(
      'id', m.name,
      'kind', m.kind,
      'createdAtMs', floor(extract(epoch from m.created_at) * 1000),
      'contextTokens', m.context_tokens,
      'outputTokensMax', m.output_tokens_max,
      'templateTokens', m.template_tokens,
      'imageTokensMax', m.image_tokens_max,
      'enabled', m.enabled,
      'retirement', case when m.retires_at is not null then json_build_object(
        'announcedAtMs', floor(extract(epoch from m.retirement_announced_at) * 1000),
        'retiresAtMs', floor(extract(epoch from m.retires_at) * 1000)
      ) end,
      'prices', json_agg(
        json_build_object(
          'version', p.version,
          'effectiveAtMs', floor(extract(epoch from p.effective_at) * 1000),
          'inputMicro', p.input_micro,
          'cachedInputMicro', p.cached_input_micro,
          'outputMicro', p.output_micro,
          'imageMicro', p.image_micro,
          'lines', (
            select coalesce(json_agg(
              json_build_object('version', l.version, 'size', l.size, 'quality', l.quality, 'imageMicro', l.image_micro)
              order by l.version
            ), '[]')
            from prices l where l.line_of = p.version
          )
        ) order by p.effective_at desc, p.version desc
      )
    ) as model
    from models m
    join prices p on p.model_id = m.id and p.line_of is null
    where p.effective_at >= coalesce((
      select max(past.effective_at) from prices past
      where past.model_id = m.id and past.effective_at <= now() - interval '1 hour'
    ), '-infinity')
    group by m.id
    order by m.name
  `;
  return rows.map(({ model }) => model);
}

export interface TopUp {
  accountId: string;
  /** Of credit, before tax. */
  rupiah: number;
  key: string;
  ppnBasisPoints: number;
  dueDays: number;
}

export interface TopUpOutcome {
  outcome: "made" | "other_amount" | "too_many_open" | "too_many_today";
  /** Where it was made, now or before under the same key. */
  invoiceId: string | null;
}

/** Makes an invoice, once for each key, and queues its mail. Fails with EP404 where the account is closed. */
export async function requestTopUp(sql: Sql, { accountId, rupiah, key, ppnBasisPoints, dueDays }: TopUp): Promise<TopUpOutcome> {
  const [row] = await sql<TopUpOutcome[]>`
    select outcome, invoice_id as "invoiceId" from request_top_up(
      ${accountId}, ${rupiah}, ${key}, ${ppnBasisPoints}, ${dueDays}, ${openInvoicesMax}, ${topUpsPerDayMax}
    )
  `;
  return row!;
}

/** Fails with EP409 where it is paid. */
export async function cancelInvoice(sql: Sql, accountId: string, id: string): Promise<void> {
  await sql`select cancel_invoice(${accountId}, ${id})`;
}

const invoiceColumns = (sql: Sql) => sql`
  id, account_id as "accountId", year, number, credit_micro as "creditMicro", ppn_basis_points as "ppnBasisPoints",
  ppn_micro as "ppnMicro", issued_at as "issuedAt", due_at as "dueAt", state, paid_at as "paidAt"
`;

/** Of this account, where one is named. */
export async function findInvoice(sql: Sql, id: string, accountId?: string): Promise<Invoice | undefined> {
  const [invoice] = await sql<Invoice[]>`
    select ${invoiceColumns(sql)} from invoices
    where id = ${id} and account_id = coalesce(${accountId ?? null}::uuid, account_id)
  `;
  return invoice;
}

/** Newest first; with a cursor those before it. */
export async function listInvoices(sql: Sql, accountId: string, limit: number, cursor?: string): Promise<Invoice[]> {
  return sql<Invoice[]>`
    select ${invoiceColumns(sql)} from invoices
    where account_id = ${accountId} and id < coalesce(${cursor ?? null}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by id desc limit ${limit}
  `;
}

export interface Recipient {
  name: string | null;
  email: string;
}

/** Whom an invoice is for; undefined once the account is erased. */
export async function findRecipient(sql: Sql, invoiceId: string): Promise<Recipient | undefined> {
  const [recipient] = await sql<Recipient[]>`select name, email from invoice_recipient(${invoiceId})`;
  return recipient;
}
