/** Operators for tests of admin: what it is configured by, and a session as the command at the machine opens it. */
import { openSession } from "#infra/operators/operators.ts";
import type { TestDatabase } from "./database.ts";

export const consoleUrl = "http://localhost:8080/console/";

export const adminSettings = { consoleUrl, relyingPartyId: "localhost", retirementNoticeDays: 30 };

/** The token of a new session. */
export function openTestSession({ sql }: TestDatabase, name = "tester"): Promise<string> {
  return openSession(sql, name, 1);
}
