/** All SQL of admin: calls of functions that append their audit row in the same transaction (keep.audit). */
import type { z } from "zod";
import type { Sql } from "#shared/db.ts";
import { keyColumns } from "#shared/key-fields.ts";
import { microPerRupiah } from "#shared/money.ts";
import type {
  ChangeLimits, ConfirmInvoice, CreateAccount, CreateKey, CreateModel, CreatePrice, EnableModel, FindInvoices, NamedModel, PostCredit,
  ReadBooks, RetireModel, SuspendAccount,
} from "./schema.ts";

type Asked<Schema extends z.ZodType> = z.output<Schema>;

export async function createAccount(sql: Sql, { email, name }: Asked<typeof CreateAccount>): Promise<string> {
  const [row] = await sql<{ id: string }[]>`select admin_create_account(${email}, ${name}) as id`;
  return row!.id;
}

export async function suspendAccount(sql: Sql, { accountId, reason }: Asked<typeof SuspendAccount>): Promise<void> {
  await sql`select admin_set_suspended(${accountId}, true, ${reason})`;
}

export async function reinstateAccount(sql: Sql, accountId: string): Promise<void> {
  await sql`select admin_set_suspended(${accountId}, false, null)`;
}

export async function closeAccount(sql: Sql, accountId: string): Promise<void> {
  await sql`select admin_close_account(${accountId})`;
}

/** Only hash and prefix of the key come here (sec.key). */
export async function createKey(
  sql: Sql,
  asked: Asked<typeof CreateKey>,
  { hash, prefix }: { hash: string; prefix: string },
): Promise<string> {
  const expiresAt = asked.expiresAtMs === null ? null : new Date(asked.expiresAtMs);
  const [row] = await sql<{ id: string }[]>`
    select admin_create_key(
      ${asked.accountId}, ${Buffer.from(hash, "hex")}, ${prefix}, ${asked.name}, ${asked.scopes}, ${asked.models},
      ${expiresAt}, ${asked.requestsPerMinute}, ${asked.tokensPerMinute}, ${asked.monthlyBudgetMicro}
    ) as id
  `;
  return row!.id;
}

export async function changeLimits(sql: Sql, { keyId, ...limits }: Asked<typeof ChangeLimits>): Promise<void> {
  await sql`select admin_set_key_limits(${keyId}, ${JSON.stringify(keyColumns(limits))}::text::jsonb)`;
}

export async function revokeKey(sql: Sql, keyId: string): Promise<void> {
  await sql`select admin_revoke_key(${keyId})`;
}

export async function postCredit(sql: Sql, asked: Asked<typeof PostCredit>): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    select admin_post_billing_event(
      ${asked.accountId}, ${asked.kind}, ${asked.amountMicro}, ${asked.reason}, ${asked.idempotencyKey}
    ) as id
  `;
  return row!.id;
}

export async function grantSignupCredit(sql: Sql, accountId: string, amountMicro: bigint): Promise<string> {
  const [row] = await sql<{ id: string }[]>`select admin_grant_signup_credit(${accountId}, ${amountMicro}) as id`;
  return row!.id;
}

export interface FoundInvoice {
  id: string;
  accountId: string;
  number: string;
  state: string;
  issuedAt: Date;
  dueAt: Date;
  paidAt: Date | null;
  /** Rupiah that must have come in, tax included. */
  totalRupiah: number;
}

/** Newest first, 100 at most. */
export async function findInvoices(sql: Sql, asked: Asked<typeof FindInvoices>): Promise<FoundInvoice[]> {
  const { year = null, number = null } = "number" in asked ? asked.number : {};
  const accountId = "accountId" in asked ? asked.accountId : null;
  return sql<FoundInvoice[]>`
    select
      id, account_id as "accountId", 'INV-' || year || '-' || lpad(number::text, greatest(6, length(number::text)), '0') as number,
      state, issued_at as "issuedAt", due_at as "dueAt", paid_at as "paidAt",
      ((credit_micro + ppn_micro) / ${microPerRupiah}::bigint)::float8 as "totalRupiah"
    from admin_find_invoices(${year}, ${number}, ${accountId})
  `;
}

/** Answers the id of the billing event; with an amount, the account's signup credit too, unless it has had it. */
export async function confirmInvoice(
  sql: Sql,
  { invoiceId, receivedRupiah }: Asked<typeof ConfirmInvoice>,
  signupCreditMicro: bigint | null,
): Promise<string> {
  const receivedMicro = BigInt(receivedRupiah) * BigInt(microPerRupiah);
  const [row] = await sql<{ id: string }[]>`
    select admin_confirm_invoice(${invoiceId}, ${receivedMicro}, ${signupCreditMicro}) as id
  `;
  return row!.id;
}

export async function createModel(sql: Sql, asked: Asked<typeof CreateModel>): Promise<void> {
  await sql`
    select admin_create_model(
      ${asked.id}, ${asked.kind}, ${asked.contextTokens}, ${asked.outputTokensMax}, ${asked.templateTokens},
      ${asked.imageTokensMax}
    )
  `;
}

export async function enableModel(sql: Sql, { id, enabled }: Asked<typeof EnableModel>): Promise<void> {
  await sql`select admin_set_model_enabled(${id}, ${enabled})`;
}

export async function announceRetirement(sql: Sql, { id, retiresAtMs }: Asked<typeof RetireModel>, noticeDays: number): Promise<void> {
  await sql`select admin_announce_retirement(${id}, ${new Date(retiresAtMs)}, ${noticeDays}::integer * interval '1 day')`;
}

export async function withdrawRetirement(sql: Sql, { id }: Asked<typeof NamedModel>): Promise<void> {
  await sql`select admin_withdraw_retirement(${id})`;
}

export async function createPrice(sql: Sql, asked: Asked<typeof CreatePrice>): Promise<number> {
  const effectiveAt = asked.effectiveAtMs === undefined ? null : new Date(asked.effectiveAtMs);
  const lines = asked.lines.map(({ size, quality, imageMicro }) => ({ size, quality, image_micro: imageMicro }));
  const [row] = await sql<{ version: number }[]>`
    select admin_create_price(
      ${asked.model}, coalesce(${effectiveAt}::timestamptz, now()), ${asked.inputMicro}, ${asked.cachedInputMicro},
      ${asked.outputMicro}, ${asked.imageMicro}, ${sql.json(lines)}
    ) as version
  `;
  return row!.version;
}

export async function confirmPurgeGap(sql: Sql): Promise<void> {
  await sql`select admin_confirm_purge_gap()`;
}

/** A day (UTC) of a model: what it was used for and charged, and what was lost of the price. */
export interface BookedDay {
  day: string;
  model: string;
  requests: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  images: number;
  costMicro: string;
  lossRequests: number;
  lossMicro: string;
}

export async function readBooks(sql: Sql, { from, to }: Asked<typeof ReadBooks>): Promise<BookedDay[]> {
  const rows = await sql<Record<keyof BookedDay, string>[]>`
    select
      day::text as day, model, requests, prompt_tokens as "promptTokens", cached_tokens as "cachedTokens",
      completion_tokens as "completionTokens", reasoning_tokens as "reasoningTokens", images, cost_micro::text as "costMicro",
      loss_requests as "lossRequests", loss_micro::text as "lossMicro"
    from admin_books(${from}, ${to})
  `;
  return rows.map((row) => ({
    ...row,
    requests: Number(row.requests),
    promptTokens: Number(row.promptTokens),
    cachedTokens: Number(row.cachedTokens),
    completionTokens: Number(row.completionTokens),
    reasoningTokens: Number(row.reasoningTokens),
    images: Number(row.images),
    lossRequests: Number(row.lossRequests),
  }));
}

/** Requests that began before this time are all in the books. */
export async function readBookedUntil(sql: Sql): Promise<Date | null> {
  const [row] = await sql<{ at: Date | null }[]>`select admin_booked_until() as at`;
  return row!.at;
}

export interface ReconciledModel {
  model: string;
  since: Date;
  until: Date;
  enginesMissing: number;
  /** What the engines counted. */
  engine: { promptTokens: number; completionTokens: number };
  /** What was settled of the same time. */
  ledger: { promptTokens: number; completionTokens: number };
}

export async function readReconciliation(sql: Sql, minutes: number): Promise<ReconciledModel[]> {
  const rows = await sql<Record<string, any>[]>`
    select
      model, since, until, engines_missing as "enginesMissing", engine_prompt_tokens as "enginePrompt",
      engine_completion_tokens as "engineCompletion", ledger_prompt_tokens as "ledgerPrompt",
      ledger_completion_tokens as "ledgerCompletion"
    from captured_tokens(${minutes}::integer * interval '1 minute')
  `;
  return rows.map(({ model, since, until, enginesMissing, ...tokens }) => ({
    model,
    since,
    until,
    enginesMissing,
    engine: { promptTokens: Number(tokens.enginePrompt), completionTokens: Number(tokens.engineCompletion) },
    ledger: { promptTokens: Number(tokens.ledgerPrompt), completionTokens: Number(tokens.ledgerCompletion) },
  }));
}

export async function readBalance(sql: Sql, accountId: string): Promise<{ balanceMicro: bigint; availableMicro: bigint }> {
  const [row] = await sql<{ balanceMicro: bigint; availableMicro: bigint }[]>`
    select balance_micro as "balanceMicro", available_micro as "availableMicro" from admin_balance(${accountId})
  `;
  return row!;
}
