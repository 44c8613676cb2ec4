/** Operators for tests of admin: what it is configured by, and a session as the command at the machine opens it. */
import { openSession } from "#infra/operators/operators.ts";
import { createDatabasePool } from "#shared/db-pool.ts";
import { createHandler } from "../../functions/admin/handler.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";

export const consoleUrl = "http://localhost:8080/console/";

export const adminSettings = {
  consoleUrl,
  relyingPartyId: "localhost",
  retirementNoticeDays: 30,
  signupCredit: { micro: 25_000_000_000n, after: "operator" },
  console: () => undefined,
  log: () => {},
} as const;

/** The token of a new session. */
export function openTestSession({ sql }: TestDatabase, name = "tester"): Promise<string> {
  return openSession(sql, name, 1);
}

export interface AdminAnswer {
  status: number;
  body: any;
  text: string;
}

/** Admin on a database of its own, with one operator signed in. */
export async function startAdmin() {
  const db = await createTestDatabase();
  const pool = createDatabasePool({ url: db.urlFor("admin"), log: () => {} });
  const handler = createHandler({ database: pool, ...adminSettings });
  const token = await openTestSession(db);
  const [operator] = await db.sql<{ id: string }[]>`select id from operators`;
  return {
    db,
    operatorId: operator!.id,
    async post(path: string, body: object = {}, { session = true } = {}): Promise<AdminAnswer> {
      const headers = { ...(session ? { authorization: `Bearer ${token}` } : {}), "content-type": "application/json" };
      const response = await handler(new Request(`http://admin${path}`, { method: "POST", headers, body: JSON.stringify(body) }));
      const text = await response.text();
      return { status: response.status, text, body: text.startsWith("{") && !text.includes("\n") ? JSON.parse(text) : undefined };
    },
    async close(): Promise<void> {
      await pool.close();
      await db.close();
    },
  };
}
