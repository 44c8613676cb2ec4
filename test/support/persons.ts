/** Somebody with a row in each table that can link to an account, and what stands for them wherever it is found. */
import { randomBytes, randomUUID } from "node:crypto";
import type { Sql } from "#shared/db.ts";
import { addKey, openAccount } from "./accounts.ts";
import { addClaim } from "./claims.ts";
import { addInvoices } from "./invoices.ts";
import { addExport, addUsage } from "./purge.ts";

export interface Person {
  accountId: string;
  keyId: string;
  alias: string;
  /** Their own: address, name, the name and first characters of their key, and its SHA-256 in hexadecimal. */
  words: { email: string; name: string; keyName: string; keyPrefix: string };
  keyHash: string;
  /** Words that stand for the person wherever they are found: ids, address, names. */
  traces: string[];
}

/** `slice` is that of now. */
export async function addPerson(sql: Sql, slice: string, usageEvents = 3): Promise<Person> {
  const accountId = await openAccount(sql, 1_000_000);
  const { keyId, key, hash } = await addKey(sql, accountId);
  const words = {
    email: `${randomBytes(8).toString("hex")}@example.com`,
    name: `Person ${randomBytes(8).toString("hex")}`,
    keyName: `Key ${randomBytes(8).toString("hex")}`,
    keyPrefix: key.slice(0, 12),
  };
  await sql`update api_keys set name = ${words.keyName} where id = ${keyId}`;
  await sql`insert into persons (account_id, email, name) values (${accountId}, ${words.email}, ${words.name})`;
  await sql`insert into outbox (account_id, template) values (${accountId}, 'welcome')`;
  await sql`insert into account_tokens values (${randomBytes(32)}, ${accountId}, 'reset_password', now() + interval '1 hour')`;
  await sql`insert into balance_alerts (account_id, threshold_micro) values (${accountId}, 1)`;
  await sql`insert into throttles (account_id, signal, requests_per_minute, ends_at) values (${accountId}, 'left', 10, now() + interval '1 hour')`;
  await sql`update balances set leased_micro = 70 where account_id = ${accountId}`;
  await sql`
    insert into leases (account_id, replica_id, granted_micro, expires_at)
    values (${accountId}, ${randomUUID()}, 70, now() + interval '1 minute')
  `;
  await addClaim(sql, accountId, "1 hour");
  await addInvoices(sql, accountId);
  await addExport(sql, accountId, "1 hour");
  await addUsage(sql, slice, accountId, keyId, usageEvents);
  const [row] = await sql<{ alias: string }[]>`select audit_alias as alias from accounts where id = ${accountId}`;
  await sql`insert into audit_log (actor, action, subject_alias) values ('operator', 'account_suspended', ${row!.alias})`;
  const { email, name, keyName } = words;
  return { accountId, keyId, alias: row!.alias, words, keyHash: hash, traces: [accountId, keyId, name, email, keyName] };
}
