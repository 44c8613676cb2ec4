/**
 * All SQL of export about files that are built in the background: it reads their rows, and changes them by functions only
 * (infra/db/migrations/0050_usage_exports.sql).
 */
import type { Sql } from "#shared/db.ts";
import type { endpoints } from "#shared/policy.ts";
import type { MerkleTreeBegun } from "#shared/merkle.ts";

/** A row as it is read. */
export interface ExportRow {
  id: string;
  accountId: string;
  createdAt: Date;
  state: "queued" | "building" | "ready" | "failed";
  /** `2026-05-31` */
  from: string;
  to: string | null;
  model: string | null;
  keyId: string | null;
  endpoint: (typeof endpoints)[number] | null;
  statusClass: number | null;
  etags: string[];
  cursorId: string | null;
  records: bigint;
  bytes: bigint;
  firstId: string | null;
  lastId: string | null;
  subtrees: Buffer;
  linkEndsAt: Date | null;
}

export interface AskedExport {
  from: string;
  to: string | null;
  model: string | null;
  keyId: string | null;
  endpoint: string | null;
  statusClass: number | null;
}

export interface ExportLimits {
  ownMax: number;
  waitingMax: number;
}

/** Answers the id. EP404, EP429, EP503: see the function. */
export async function requestExport(sql: Sql, accountId: string, asked: AskedExport, { ownMax, waitingMax }: ExportLimits): Promise<string> {
  const { from, to, model, keyId, endpoint, statusClass } = asked;
  const [row] = await sql<{ id: string }[]>`
    select request_usage_export(
      ${accountId}, ${from}, ${to}, ${model}, ${keyId}, ${endpoint}, ${statusClass}::smallint, ${ownMax}, ${waitingMax}
    ) as id
  `;
  return row!.id;
}

/** The account's own that live, the newest first. */
export function findExports(sql: Sql, accountId: string, liveHours: number): Promise<ExportRow[]> {
  return sql<ExportRow[]>`
    select ${exportColumns(sql)} from usage_exports e left join models m on m.id = e.model_id
    where e.account_id = ${accountId} and e.created_at > now() - make_interval(hours => ${liveHours})
    order by e.created_at desc, e.id desc
  `;
}

export async function findExport(sql: Sql, accountId: string, id: string, liveHours: number): Promise<ExportRow | undefined> {
  const [row] = await sql<ExportRow[]>`
    select ${exportColumns(sql)} from usage_exports e left join models m on m.id = e.model_id
    where e.id = ${id} and e.account_id = ${accountId} and e.created_at > now() - make_interval(hours => ${liveHours})
  `;
  return row;
}

/** Until when the link opens the file; undefined where no such file is ready. */
export async function linkExport(
  sql: Sql,
  { accountId, id, linkHash, linkMinutes, liveHours }: { accountId: string; id: string; linkHash: Buffer; linkMinutes: number; liveHours: number },
): Promise<Date | undefined> {
  const [row] = await sql<{ endsAt: Date | null }[]>`
    select link_usage_export(${accountId}, ${id}, ${linkHash}, ${linkMinutes}, ${liveHours}) as "endsAt"
  `;
  return row!.endsAt ?? undefined;
}

/** Whose file the link opens. */
export async function openExport(sql: Sql, id: string, linkHash: Buffer): Promise<string | undefined> {
  const [row] = await sql<{ accountId: string | null }[]>`select open_usage_export(${id}, ${linkHash}) as "accountId"`;
  return row!.accountId ?? undefined;
}

/** The export whose turn it is. */
export async function takeTurn(sql: Sql): Promise<ExportRow | undefined> {
  const [row] = await sql<ExportRow[]>`
    with turn as (select id from take_usage_export_turn() as id)
    select ${exportColumns(sql)} from turn join usage_exports e using (id) left join models m on m.id = e.model_id
  `;
  return row;
}

export interface PartNote {
  id: string;
  part: number;
  etag: string;
  cursorId: string | null;
  bytes: number;
  firstId: string | null;
  lastId: string | null;
  begun: MerkleTreeBegun;
}

/** False: the export is not where it was any more. */
export async function notePart(sql: Sql, { id, part, etag, cursorId, bytes, firstId, lastId, begun }: PartNote): Promise<boolean> {
  const [row] = await sql<{ noted: boolean }[]>`
    select note_usage_export_part(
      ${id}, ${part}, ${etag}, ${cursorId}, ${begun.size}, ${bytes}, ${firstId}, ${lastId}, ${begun.subtrees}
    ) as noted
  `;
  return row!.noted;
}

export async function finishExport(sql: Sql, id: string, parts: number): Promise<boolean> {
  const [row] = await sql<{ finished: boolean }[]>`select finish_usage_export(${id}, ${parts}) as finished`;
  return row!.finished;
}

export async function restartExport(sql: Sql, id: string, restartsMax: number): Promise<void> {
  await sql`select restart_usage_export(${id}, ${restartsMax})`;
}

/** Ends up to `rowsMax` exports that are over; answers how many. */
export async function endExports(sql: Sql, liveHours: number, rowsMax: number): Promise<number> {
  const [row] = await sql<{ ended: number }[]>`select end_usage_exports(${liveHours}, ${rowsMax}) as ended`;
  return row!.ended;
}

/** Those of the ids that are exports; `unfinished`: that are still being built. */
export async function livingExports(sql: Sql, ids: readonly string[]): Promise<{ id: string; unfinished: boolean }[]> {
  return sql<{ id: string; unfinished: boolean }[]>`
    select id, state in ('queued', 'building') as unfinished from usage_exports where id = any (${ids}::uuid[])
  `;
}

function exportColumns(sql: Sql) {
  return sql`
    e.id,
    e.account_id as "accountId",
    e.created_at as "createdAt",
    e.state,
    e.from_day::text as "from",
    e.to_day::text as "to",
    m.name as model,
    e.key_id as "keyId",
    e.endpoint,
    e.status_class as "statusClass",
    e.etags,
    e.cursor_id as "cursorId",
    e.records,
    e.bytes,
    e.first_id as "firstId",
    e.last_id as "lastId",
    e.subtrees,
    e.link_ends_at as "linkEndsAt"
  `;
}
