/**
 * All SQL of accounts: calls of the functions that its role may use (infra/db/migrations/0041_account_credentials.sql,
 * 0042_account_keys.sql, 0043_account_ends.sql). Tokens and keys come here as their SHA-256.
 */
import type { Sql } from "#shared/db.ts";
import { keyColumns, type KeyChanges } from "#shared/key-fields.ts";
import type { TokenPurpose } from "./schema.ts";

export interface Credentials {
  accountId: string;
  /** PHC string; null for an account that an operator opened. */
  passwordHash: string | null;
  verified: boolean;
}

/** Whose password is asked for: by address, by session, or by the SHA-256 of a token for a purpose. */
export type Claimant = { email: string } | { accountId: string } | { token: Buffer; purpose: TokenPurpose };

export async function signUp(sql: Sql, asked: { email: string; name: string | null; passwordHash: string }): Promise<void> {
  await sql`select account_sign_up(${asked.email}, ${asked.name}, ${asked.passwordHash})`;
}

export async function askMail(sql: Sql, email: string, purpose: "verify_email" | "reset_password"): Promise<void> {
  await sql`select account_ask_mail(${email}, ${purpose})`;
}

export async function findCredentials(sql: Sql, claimant: Claimant): Promise<Credentials | undefined> {
  const { email = null, accountId = null, token = null, purpose = null } = claimant as Partial<Record<string, string>> & { token?: Buffer };
  const [row] = await sql<Credentials[]>`
    select account_id as "accountId", password_hash as "passwordHash", verified
    from account_credentials(${email}, ${accountId}, ${token}, ${purpose})
  `;
  return row;
}

/** Milliseconds since 1970; null where the password was changed, or the account closed, since it was looked up. */
export async function beginSession(sql: Sql, accountId: string, checkedHash: string, betterHash: string | null): Promise<number | null> {
  const [row] = await sql<{ startedAtMs: number | null }[]>`
    select begin_session(${accountId}, ${checkedHash}, ${betterHash}) as "startedAtMs"
  `;
  return row!.startedAtMs;
}

export async function endSessions(sql: Sql, accountId: string): Promise<void> {
  await sql`select account_end_sessions(${accountId})`;
}

export async function setPassword(sql: Sql, accountId: string, checkedHash: string, passwordHash: string): Promise<void> {
  await sql`select account_set_password(${accountId}, ${checkedHash}, ${passwordHash})`;
}

export async function verifyEmail(sql: Sql, token: Buffer, checkedHash: string, signupCreditMicro: bigint | null): Promise<void> {
  await sql`select account_verify_email(${token}, ${checkedHash}, ${signupCreditMicro === null ? null : String(signupCreditMicro)}::bigint)`;
}

/** Answers the account's id. */
export async function resetPassword(sql: Sql, token: Buffer, passwordHash: string, signupCreditMicro: bigint | null): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    select account_reset_password(${token}, ${passwordHash}, ${signupCreditMicro === null ? null : String(signupCreditMicro)}::bigint) as id
  `;
  return row!.id;
}

export async function setName(sql: Sql, accountId: string, name: string | null): Promise<void> {
  await sql`select account_set_name(${accountId}, ${name})`;
}

export async function askEmail(sql: Sql, accountId: string, email: string): Promise<void> {
  await sql`select account_ask_email(${accountId}, ${email})`;
}

export async function confirmEmail(sql: Sql, token: Buffer): Promise<void> {
  await sql`select account_confirm_email(${token})`;
}

export interface Profile {
  email: string;
  name: string | null;
  status: "active" | "suspended";
  emailVerifiedAt: Date | null;
  newEmail: string | null;
}

export async function findProfile(sql: Sql, accountId: string): Promise<Profile | undefined> {
  const [row] = await sql<Profile[]>`
    select email, name, status, email_verified_at as "emailVerifiedAt", new_email as "newEmail" from account_profile(${accountId})
  `;
  return row;
}

export interface MintedToken {
  accountId: string;
  purpose: TokenPurpose;
  hash: Buffer;
  lifeHours: number;
  /** From the closing of an account: how long that can be taken back. */
  graceDays: number;
}

export async function mintToken(sql: Sql, { accountId, purpose, hash, lifeHours, graceDays }: MintedToken): Promise<boolean> {
  const [row] = await sql<{ minted: boolean }[]>`
    select account_mint_token(
      ${accountId}, ${purpose}, ${hash}, ${lifeHours}::integer * interval '1 hour', ${graceDays}::integer * interval '1 day'
    ) as minted
  `;
  return row!.minted;
}

export async function closeAccount(sql: Sql, accountId: string, forfeit: boolean): Promise<void> {
  await sql`select account_close(${accountId}, ${forfeit})`;
}

export async function reopenAccount(sql: Sql, token: Buffer): Promise<void> {
  await sql`select account_reopen(${token})`;
}

/** A page of what a table has about the account, each row as JSON, after the row `after`. */
export async function copyPage(sql: Sql, accountId: string, table: string, after: string | null, rows: number): Promise<string[]> {
  const found = await sql<{ row: string }[]>`select row from account_copy_page(${accountId}, ${table}, ${after}, ${rows}) as row`;
  return found.map(({ row }) => row);
}

export interface Key {
  id: string;
  prefix: string;
  name: string;
  scopes: string[];
  models: string[] | null;
  expiresAt: Date | null;
  requestsPerMinute: number | null;
  tokensPerMinute: number | null;
  monthlyBudgetMicro: bigint | null;
  revokedAt: Date | null;
}

export async function listKeys(sql: Sql, accountId: string): Promise<Key[]> {
  return sql<Key[]>`
    select
      id, prefix, name, scopes, models, expires_at as "expiresAt", requests_per_minute as "requestsPerMinute",
      tokens_per_minute as "tokensPerMinute", monthly_budget_micro as "monthlyBudgetMicro", revoked_at as "revokedAt"
    from account_keys(${accountId})
  `;
}

/** The ids of the last call of keys, and of the oldest call that was looked at where there are more. */
export async function keyUse(sql: Sql, accountId: string, calls: number): Promise<{ keyId: string; lastCall: string; oldest: string | null }[]> {
  return sql<{ keyId: string; lastCall: string; oldest: string | null }[]>`
    select key_id as "keyId", last_call as "lastCall", oldest from account_key_use(${accountId}, ${calls})
  `;
}

/** Only hash and prefix of a key come here (sec.key). */
export interface StoredKey {
  hash: string;
  prefix: string;
}

export interface KeyRoom {
  liveMax: number;
  allMax: number;
}

export async function createKey(
  sql: Sql,
  accountId: string,
  asked: KeyChanges & { name: string; scopes: string[] },
  { hash, prefix }: StoredKey,
  { liveMax, allMax }: KeyRoom,
): Promise<string> {
  const { name, models = null, expires_at: expiresAt = null, ...columns } = keyColumns(asked);
  const [row] = await sql<{ id: string }[]>`
    select account_create_key(
      ${accountId}, ${Buffer.from(hash, "hex")}, ${prefix}, ${name!}, ${asked.scopes}, ${models}, ${expiresAt},
      ${columns.requests_per_minute ?? null}, ${columns.tokens_per_minute ?? null}, ${columns.monthly_budget_micro ?? null}::text::bigint,
      ${liveMax}, ${allMax}
    ) as id
  `;
  return row!.id;
}

export async function changeKey(sql: Sql, accountId: string, keyId: string, changes: KeyChanges): Promise<void> {
  await sql`select account_change_key(${accountId}, ${keyId}, ${JSON.stringify(keyColumns(changes))}::text::jsonb)`;
}

export async function revokeKey(sql: Sql, accountId: string, keyId: string): Promise<void> {
  await sql`select account_revoke_key(${accountId}, ${keyId})`;
}

export async function rotateKey(
  sql: Sql,
  accountId: string,
  keyId: string,
  { hash, prefix }: StoredKey,
  overlapHours: number,
  { liveMax, allMax }: KeyRoom,
): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    select account_rotate_key(
      ${accountId}, ${keyId}, ${Buffer.from(hash, "hex")}, ${prefix}, ${overlapHours}::integer * interval '1 hour', ${liveMax}, ${allMax}
    ) as id
  `;
  return row!.id;
}
