/** What a route of operators is made of. */
import type { z } from "zod";
import type { DatabasePool } from "#shared/db-pool.ts";
import type { Sql } from "#shared/db.ts";
import type { signupCreditMoments } from "./schema.ts";

/**
 * How the database refuses (infra/db/migrations/0011_admin.sql): EP404, EP409 (or a unique index), EP410, EP422, EP402 and
 * a check. Its own texts could quote a row.
 */
export type Refusal = "missing" | "conflict" | "past" | "mismatch" | "short" | "malformed";

/** What a new account is given, and after what. */
export interface SignupCredit {
  micro: bigint;
  after: (typeof signupCreditMoments)[number];
}

export interface Settings {
  /** Days between the announcement of a model's retirement and its date, at least. */
  retirementNoticeDays: number;
  signupCredit: SignupCredit;
  /** The address at which operators open the console, which links lead to. */
  consoleUrl: string;
}

/** Who acts: the transaction is theirs already. */
export interface Acting {
  /** For what goes on after the transaction: an answer that streams. */
  database: DatabasePool;
  operatorId: string;
  session: Buffer;
}

export interface Route<Schema extends z.ZodType> {
  /** What an error says that could not be done. */
  task: string;
  schema: Schema;
  refusals: Partial<Record<Refusal, string>>;
  answer(sql: Sql, asked: z.output<Schema>, settings: Settings & Acting): Promise<object | Response | void>;
}

export function route<Schema extends z.ZodType>(
  task: string,
  schema: Schema,
  refusals: Route<Schema>["refusals"],
  answer: Route<Schema>["answer"],
): Route<Schema> {
  return { task, schema, refusals, answer };
}
