/** SQL of operators and their logins (infra/db/migrations/0056_operators.sql). Words come here as digests only. */
import type { Sql } from "#shared/db.ts";

/** The rest of the transaction is this operator's. Throws EP401 when the session has ended. */
export async function actAsOperator(sql: Sql, session: Buffer): Promise<string> {
  const [row] = await sql<{ id: string }[]>`select act_as_operator(${session}) as id`;
  return row!.id;
}

export async function openChallenge(sql: Sql, digest: Buffer, minutes: number): Promise<void> {
  await sql`select open_operator_challenge(${digest}, ${minutes})`;
}

/** Whether it was open; it is no longer. */
export async function takeChallenge(sql: Sql, digest: Buffer): Promise<boolean> {
  const [row] = await sql<{ taken: boolean }[]>`select take_operator_challenge(${digest}) as taken`;
  return row!.taken;
}

export interface Credential {
  operatorId: string;
  publicKey: Uint8Array<ArrayBuffer>;
  /** As often as the authenticator says that it was used; 0 where it does not count. */
  uses: number;
}

export async function findCredential(sql: Sql, id: Buffer): Promise<Credential | undefined> {
  const [row] = await sql<{ operatorId: string; publicKey: Uint8Array<ArrayBuffer>; uses: bigint }[]>`
    select operator_id as "operatorId", public_key as "publicKey", uses from find_operator_credential(${id})
  `;
  return row && { ...row, uses: Number(row.uses) };
}

export async function signIn(sql: Sql, credential: Buffer, uses: number, session: Buffer, hours: number): Promise<void> {
  await sql`select sign_in_operator(${credential}, ${uses}::bigint, ${session}, ${hours})`;
}

export async function signOut(sql: Sql, session: Buffer, everywhere: boolean): Promise<void> {
  await sql`select sign_out_operator(${session}, ${everywhere})`;
}

export async function findInvite(sql: Sql, invite: Buffer): Promise<{ operatorId: string; name: string } | undefined> {
  const [row] = await sql<{ operatorId: string; name: string }[]>`
    select operator_id as "operatorId", name from find_operator_invite(${invite})
  `;
  return row;
}

export interface NewCredential {
  id: Buffer;
  publicKey: Uint8Array;
  uses: number;
}

export async function enrol(sql: Sql, invite: Buffer, { id, publicKey, uses }: NewCredential): Promise<void> {
  await sql`select enrol_operator(${invite}, ${id}, ${publicKey}, ${uses}::bigint)`;
}

export async function createOperator(sql: Sql, name: string): Promise<string> {
  const [row] = await sql<{ id: string }[]>`select create_operator(${name}) as id`;
  return row!.id;
}

/** `replaces`: the operator's former passkeys and sessions end when the invite is used. */
export async function inviteOperator(sql: Sql, operatorId: string, invite: Buffer, replaces: boolean, hours: number): Promise<void> {
  await sql`select invite_operator(${operatorId}, ${invite}, ${replaces}, ${hours})`;
}

export async function disableOperator(sql: Sql, operatorId: string): Promise<void> {
  await sql`select disable_operator(${operatorId})`;
}

export interface Operator {
  id: string;
  name: string;
  createdAt: Date;
  disabledAt: Date | null;
  passkeys: number;
  sessions: number;
}

export async function listOperators(sql: Sql): Promise<Operator[]> {
  return sql<Operator[]>`
    select id, name, created_at as "createdAt", disabled_at as "disabledAt", passkeys, sessions from list_operators()
  `;
}
