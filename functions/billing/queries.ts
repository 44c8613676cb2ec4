/** All SQL of billing. What must be atomic (grants, returns, closes) is an SQL function of migration 0005. */
import type { z } from "zod";
import type { Sql } from "#shared/db.ts";
import type { BalanceAnswer, Grant, GrantRequest, Model, SyncAnswer, SyncRequest } from "./schema.ts";

/** Milliseconds after which a grant that waits for a recall is asked for again: replicas answer within about 250. */
const recallRetryMs = 50;

/** Accounts whose expired leases one call closes. */
const expiredAccountsMax = 100;

interface GrantRow {
  outcome: Grant["outcome"];
  lease_id: string;
  granted_micro: bigint;
  needs_covered: number;
  available_micro: bigint;
}

export async function grantLeases(
  sql: Sql,
  { replicaId, requests }: z.output<typeof GrantRequest>,
  ttlMs: number,
): Promise<Grant[]> {
  const lines = requests.map(({ accountId, leaseId, needsMicro, wantMicro }) => ({
    account_id: accountId,
    lease_id: leaseId,
    needs: needsMicro,
    want: wantMicro,
  }));
  const rows = await sql<GrantRow[]>`
    select * from lease_grant(${replicaId}, ${ttlMs}::integer * interval '1 millisecond', ${sql.json(lines)})
  `;
  return rows.map((row): Grant => {
    if (row.outcome === "recalling") return { outcome: "recalling", retryMs: recallRetryMs };
    if (row.outcome === "insufficient") return { outcome: "insufficient", availableMicro: Number(row.available_micro) };
    return {
      outcome: "granted",
      leaseId: row.lease_id,
      grantedMicro: Number(row.granted_micro),
      needsCovered: row.needs_covered,
      ttlMs,
    };
  });
}

export async function syncLeases(
  sql: Sql,
  { replicaId, leases }: z.output<typeof SyncRequest>,
  ttlMs: number,
): Promise<SyncAnswer> {
  // The text of an array of `lease_report`, fields in the order of the type.
  const reports = leases.map(
    ({ leaseId, renew, returnMicro, recallAnswered, close }) =>
      `"(${leaseId},${renew},${returnMicro},${recallAnswered},${close})"`,
  );
  const [row] = await sql<{ gone: boolean[]; recalled: string[] }[]>`
    select * from lease_sync(
      ${replicaId}, ${ttlMs}::integer * interval '1 millisecond', ${`{${reports.join(",")}}`}::lease_report[]
    )
  `;
  return { leases: row!.gone.map((gone) => ({ gone, ttlMs })), recalled: row!.recalled };
}

/** Gives the money of expired leases back to their accounts. */
export async function closeExpiredLeases(sql: Sql): Promise<void> {
  await sql`select close_expired_leases(${expiredAccountsMax})`;
}

export async function findBalance(sql: Sql, accountId: string): Promise<z.output<typeof BalanceAnswer>> {
  const [row] = await sql<{ balance: string; available: string }[]>`
    select
      (b.credited_micro - b.consumed_micro - coalesce(sum(l.consumed_micro), 0))::text as balance,
      (b.credited_micro - b.consumed_micro - b.leased_micro)::text as available
    from balances b
    left join leases l on l.account_id = b.account_id
    where b.account_id = ${accountId}
    group by b.account_id
  `;
  return { balanceMicro: row?.balance ?? "0", availableMicro: row?.available ?? "0" };
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
