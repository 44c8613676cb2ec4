/** SQL of statements about promises that software cannot see (infra/db/migrations/0066_evidence.sql). */
import type { Sql } from "#shared/db.ts";

export interface Attestation {
  promise: string;
  /** SHA-256 in hex of the sentence that was attested. */
  sentenceDigest: string;
  statedAt: Date;
  expiresAt: Date;
}

export async function attest(sql: Sql, { promise, sentenceDigest, validDays }: { promise: string; sentenceDigest: string; validDays: number }): Promise<void> {
  await sql`select admin_attest(${promise}::text::attested_promise, ${Buffer.from(sentenceDigest, "hex")}, ${validDays})`;
}

export async function withdrawAttestation(sql: Sql, promise: string): Promise<void> {
  await sql`select admin_withdraw_attestation(${promise}::text::attested_promise)`;
}

export async function listAttestations(sql: Sql): Promise<Attestation[]> {
  return sql<Attestation[]>`
    select promise, encode(sentence_digest, 'hex') as "sentenceDigest", stated_at as "statedAt", expires_at as "expiresAt"
    from admin_list_attestations()
  `;
}
