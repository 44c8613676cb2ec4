/** Operators, made at the machine: by whoever owns the database. Each leaves an audit row of the system. */
import { hash, randomBytes } from "node:crypto";
import { connect, sqlState, type Sql } from "#shared/db.ts";

/** Hours in which an enrolment link counts. */
export const inviteHours = 24;

const newWord = () => randomBytes(32).toString("base64url");
const digestOf = (word: string) => hash("sha256", word, "buffer");

/** Runs one piece of work with a connection of its own, in one transaction. */
export async function withDatabase<T>(url: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = connect({ url, connections: 1 });
  try {
    return (await sql.begin((transaction) => work(transaction as unknown as Sql))) as T;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** The word of an enrolment link. Who has no passkey yet is made; with `recover` the former passkeys end when it is used. */
export async function invite(sql: Sql, name: string, recover: boolean): Promise<string> {
  const [known] = await sql<{ id: string; passkeys: number; disabled: boolean }[]>`
    select id, passkeys, disabled_at is not null as disabled from list_operators() where name = ${name}
  `;
  if (known?.disabled) throw new Error(`Cannot invite operator: ${name} is disabled; take another name`);
  if (recover && !known) throw new Error(`Cannot recover operator: there is no ${name}`);
  if (!recover && known && known.passkeys > 0) throw new Error(`Cannot invite operator: ${name} has a passkey; \`recover\` replaces it`);
  const id = known?.id ?? (await create(sql, name));
  const word = newWord();
  await sql`select invite_operator(${id}, ${digestOf(word)}, ${recover}, ${inviteHours})`;
  return word;
}

async function create(sql: Sql, name: string): Promise<string> {
  try {
    const [row] = await sql<{ id: string }[]>`select create_operator(${name}) as id`;
    return row!.id;
  } catch (thrown) {
    if (sqlState(thrown) !== "23514") throw thrown;
    throw new Error("Cannot invite operator: a name is lower case letters, digits and . _ - (32 at most), a letter first");
  }
}

/** Opens a session for a program, which has no passkey; answers its token. The same token again prolongs it. */
export async function openSession(sql: Sql, name: string, days: number, token = newWord()): Promise<string> {
  try {
    await sql`select open_operator_session(${name}, ${digestOf(token)}, ${days})`;
    return token;
  } catch (thrown) {
    if (sqlState(thrown) !== "EP409") throw thrown;
    throw new Error(`Cannot open session: ${name} has a passkey, or is disabled; take another name`);
  }
}
