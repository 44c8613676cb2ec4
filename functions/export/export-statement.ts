/** What is signed of a file of the usage log: what was asked for, and what it holds. */
import { header } from "./records.ts";
import type { Filters } from "./schema.ts";

/** By the names of the query. */
export interface AskedFor extends Filters {
  from?: string | undefined;
  to?: string | undefined;
  cursor?: string | undefined;
  through?: string | undefined;
}

export interface Held {
  rows: number;
  firstId: string | null;
  lastId: string | null;
  root: Buffer;
}

/** Every filter is named, also where there was none: a file of some events does not pass for one of all. */
export function exportStatement(accountId: string, asked: AskedFor, { rows, firstId, lastId, root }: Held, signedAtMs: number) {
  return {
    object: "usage.export",
    account_id: accountId,
    from: asked.from ?? null,
    to: asked.to ?? null,
    model: asked.model ?? null,
    key_id: asked.key_id ?? null,
    endpoint: asked.endpoint ?? null,
    status: asked.status ?? null,
    cursor: asked.cursor ?? null,
    through: asked.through ?? null,
    columns: header,
    rows,
    first_request_id: firstId,
    last_request_id: lastId,
    root: root.toString("hex"),
    signed_at: new Date(signedAtMs).toISOString(),
  };
}
