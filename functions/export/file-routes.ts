/** Files of the usage log that are built in the background: asking for one, how far it is, its link and its receipt. */
import { hash, randomBytes } from "node:crypto";
import { sqlState } from "#shared/db.ts";
import { EpithreError } from "#shared/errors.ts";
import { readJson } from "#shared/json-body.ts";
import { createMerkleTree } from "#shared/merkle.ts";
import { promised } from "#shared/policy.ts";
import { exportHours, limitDays, purgeLeadHours } from "#shared/stored-data.ts";
import { exportStatement } from "./export-statement.ts";
import { filtersOf } from "./file-part.ts";
import { type ExportRow, findExport, findExports, linkExport, requestExport } from "./file-queries.ts";
import type { Answer, Parts } from "./parts.ts";
import { csvPath, exportsPath } from "./paths.ts";
import { expectDaysInOrder } from "./read-query.ts";
import { ExportQuery, RequestId } from "./schema.ts";

/**
 * Files of one account within 24 hours, ready or not, and files of all accounts that wait: what the store holds and what
 * is left to do stay bounded. A person needs one, and another when the first was not what they meant.
 */
const limits = { ownMax: 4, waitingMax: 500 };

/** Minutes that a link opens its file: gateways log addresses, and by then theirs is worth nothing. */
const linkMinutes = 60;

/** Bytes of the secret part of a link. */
const tokenBytes = 32;

/** Seconds after which it is worth looking again how far a file is. */
const lookAgainS = 15;

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/**
 * The first day that a file asked for now may hold: no event may pass its limit while a file has it (keep.usage). The
 * store has no backups, so its files live as long as promised.
 */
export function firstDay(nowMs: number): string {
  const oldestMs = nowMs + (exportHours + 2 * purgeLeadHours) * hourMs - limitDays(promised("keep.usage").limit!) * dayMs;
  return new Date(oldestMs + dayMs).toISOString().slice(0, 10);
}

export function createFileRoutes({ database, lookUps, signer, clock }: Parts) {
  /** One question of an account's to the database. */
  async function inSeat<T>(accountId: string, question: () => Promise<T>): Promise<T> {
    const leaveSeat = lookUps.take(accountId);
    return question().finally(leaveSeat);
  }

  async function rowOf(accountId: string, text: string): Promise<ExportRow> {
    const id = RequestId.safeParse(text);
    if (!id.success) throw unknownExport();
    const row = await inSeat(accountId, () => database.run((sql) => findExport(sql, accountId, id.data, exportHours)));
    if (!row) throw unknownExport();
    return row;
  }

  const ask: Answer = async ({ accountId, request }) => {
    const query = await readJson(request, ExportQuery);
    expectDaysInOrder("body", query);
    const earliest = firstDay(clock.wallMs());
    const from = query.from !== undefined && query.from > earliest ? query.from : earliest;
    if (query.to !== undefined && query.to < from) {
      throw new EpithreError("invalid_request", `Cannot use body: to is before ${from}, the first day that a file can hold; use GET ${csvPath}`, { param: "to" });
    }
    const { to = null, model = null, key_id: keyId = null, endpoint = null, status } = query;
    const asked = { from, to, model, keyId, endpoint, statusClass: status === undefined ? null : Number(status[0]) };
    const id = await inSeat(accountId, () => database.run((sql) => requestExport(sql, accountId, asked, limits))).catch(explain);
    const answer = shown(await rowOf(accountId, id));
    return Response.json(answer, { status: 202, headers: { location: `${exportsPath}/${id}`, "retry-after": String(lookAgainS) } });
  };

  const list: Answer = async ({ accountId }) => {
    const rows = await inSeat(accountId, () => database.run((sql) => findExports(sql, accountId, exportHours)));
    return Response.json({ object: "list", data: rows.map(shown) });
  };

  const status: Answer = async ({ accountId, rest }) => {
    const row = await rowOf(accountId, rest);
    const headers: Record<string, string> = isUnfinished(row) ? { "retry-after": String(lookAgainS) } : {};
    return Response.json(shown(row), { headers });
  };

  const link: Answer = async ({ accountId, rest }) => {
    const row = await rowOf(accountId, rest);
    const token = randomBytes(tokenBytes).toString("base64url");
    const asked = { accountId, id: row.id, linkHash: hashOfToken(token), linkMinutes, liveHours: exportHours };
    const endsAt = await inSeat(accountId, () => database.run((sql) => linkExport(sql, asked)));
    if (!endsAt) throw notReady(row);
    return Response.json({ object: "usage.export.link", path: `${exportsPath}/${row.id}/${token}`, expires_at: endsAt.toISOString() });
  };

  /** What GET /v1/usage.csv.receipt says of a file, from the hashes that were noted when this one was built. */
  const receipt: Answer = async ({ accountId, rest }) => {
    const row = await rowOf(accountId, rest);
    if (row.state !== "ready") throw notReady(row);
    const { size, root } = createMerkleTree({ size: Number(row.records), subtrees: row.subtrees }).close();
    const asked = { from: row.from, to: row.to ?? undefined, ...filtersOf(row) };
    const statement = exportStatement(accountId, asked, { rows: size, firstId: row.firstId, lastId: row.lastId, root }, clock.wallMs());
    return Response.json({ ...statement, receipt: signer.sign("epithre-export-receipt-v1", statement) });
  };

  return { ask, list, status, link, receipt };
}

/** All that is kept of the secret part of a link. */
export const hashOfToken = (token: string) => hash("sha256", token, "buffer");

const isUnfinished = ({ state }: ExportRow) => state === "queued" || state === "building";

/** Its owner's view. */
function shown(row: ExportRow): object {
  const { model = null, key_id = null, endpoint = null, status = null } = filtersOf(row);
  const isReady = row.state === "ready";
  return {
    object: "usage.export.file",
    id: row.id,
    status: row.state,
    created_at: row.createdAt.toISOString(),
    expires_at: new Date(row.createdAt.getTime() + exportHours * hourMs).toISOString(),
    query: { from: row.from, to: row.to, model, key_id, endpoint, status },
    rows: Number(row.records),
    bytes: isReady ? Number(row.bytes) : null,
  };
}

/** The same whether it never was, is another account's, or is over. */
const unknownExport = () =>
  new EpithreError("not_found", `Cannot find this export: it is kept for ${exportHours} hours; ask for another at POST ${exportsPath}`);

function notReady(row: ExportRow): EpithreError {
  if (!isUnfinished(row)) return new EpithreError("conflict", `Cannot hand out this export: it could not be built; ask for another at POST ${exportsPath}`);
  return new EpithreError("conflict", `Cannot hand out this export yet: it is ${row.state}; look again at GET ${exportsPath}/{id}`, { retryAfterS: lookAgainS });
}

function explain(thrown: unknown): never {
  const state = sqlState(thrown);
  if (state === "EP404") throw new EpithreError("invalid_request", "Cannot use body: model is none that there is or was", { param: "model" });
  if (state === "EP429") {
    throw new EpithreError("rate_limit_exceeded", `Cannot take another export: this account has ${limits.ownMax}, each for ${exportHours} hours`, {
      retryAfterS: exportHours * 3_600,
    });
  }
  if (state === "EP503") throw new EpithreError("overloaded", "Cannot take another export now: too many wait; try again later", { retryAfterS: 600 });
  throw thrown;
}
