/** What operators do. Each mutation appends its audit row in its own transaction; nothing here is public. */
import { hash, timingSafeEqual } from "node:crypto";
import type { z } from "zod";
import type { DatabasePool } from "#shared/db-pool.ts";
import { sqlState, type Sql } from "#shared/db.ts";
import { EpithreError, errorResponse } from "#shared/errors.ts";
import { generateKey, hashKey, keyPrefix } from "#shared/keys.ts";
import {
  closeAccount,
  confirmPurgeGap,
  createAccount,
  createKey,
  createModel,
  createPrice,
  enableModel,
  postCredit,
  readBalance,
  reinstateAccount,
  revokeKey,
  suspendAccount,
} from "./queries.ts";
import {
  CreateAccount,
  CreateKey,
  CreateModel,
  CreatePrice,
  EnableModel,
  NamedAccount,
  Nothing,
  PostCredit,
  RevokeKey,
  SuspendAccount,
} from "./schema.ts";

export interface Deps {
  database: DatabasePool;
  /** The operators' bearer token. */
  operatorToken: string;
}

interface Route<Schema extends z.ZodType> {
  schema: Schema;
  answer(sql: Sql, asked: z.output<Schema>): Promise<object | void>;
}

const route = <Schema extends z.ZodType>(schema: Schema, answer: Route<Schema>["answer"]): Route<Schema> => ({ schema, answer });

const routes: Record<string, Route<z.ZodType>> = {
  "/accounts": route(CreateAccount, async (sql, asked) => ({ accountId: await createAccount(sql, asked) })),
  "/accounts/suspend": route(SuspendAccount, suspendAccount),
  "/accounts/reinstate": route(NamedAccount, (sql, { accountId }) => reinstateAccount(sql, accountId)),
  "/accounts/close": route(NamedAccount, (sql, { accountId }) => closeAccount(sql, accountId)),
  "/keys": route(CreateKey, async (sql, asked) => {
    const key = generateKey();
    const prefix = keyPrefix(key);
    return { keyId: await createKey(sql, asked, { hash: hashKey(key), prefix }), key, prefix };
  }),
  "/keys/revoke": route(RevokeKey, (sql, { keyId }) => revokeKey(sql, keyId)),
  "/credits": route(PostCredit, async (sql, asked) => ({ eventId: await postCredit(sql, asked) })),
  "/models": route(CreateModel, createModel),
  "/models/enable": route(EnableModel, enableModel),
  "/prices": route(CreatePrice, async (sql, asked) => ({ version: await createPrice(sql, asked) })),
  "/purge/confirm": route(Nothing, confirmPurgeGap),
  "/balance": route(NamedAccount, async (sql, { accountId }) => {
    const { balanceMicro, availableMicro } = await readBalance(sql, accountId);
    return { balanceMicro: String(balanceMicro), availableMicro: String(availableMicro) };
  }),
};

export function createHandler({ database, operatorToken }: Deps): (request: Request) => Promise<Response> {
  const tokenDigest = hash("sha256", operatorToken, "buffer");

  /** Digests are compared, so that neither length nor content of the token shows in the time it takes. */
  function requireOperator(request: Request): void {
    const given = /^Bearer (\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
    if (timingSafeEqual(hash("sha256", given, "buffer"), tokenDigest)) return;
    throw new EpithreError("invalid_api_key", "Cannot accept this call: send the operator's token as `Authorization: Bearer ...`");
  }

  return async function admin(request) {
    try {
      requireOperator(request);
      const { pathname } = new URL(request.url);
      const found = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
      if (!found) throw new EpithreError("unknown_url", "Cannot find this route: see functions/admin/README.md for the ones there are");
      if (request.method !== "POST") throw new EpithreError("method_not_allowed", "Cannot answer this method here: use POST");
      const asked = await read(request, found.schema);
      const answer = await database.run((sql) => found.answer(sql, asked)).catch(explain);
      return Response.json(answer ?? {});
    } catch (thrown) {
      return errorResponse(thrown);
    }
  };
}

async function read<Schema extends z.ZodType>(request: Request, schema: Schema): Promise<z.output<Schema>> {
  let body: unknown;
  try {
    body = await request.json();
  } catch {
    throw new EpithreError("invalid_json", "Cannot read body: it is not valid JSON");
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const unknown = issue.code === "unrecognized_keys";
  const param = issue.path.join(".");
  const problem = unknown ? "it has a field that this route does not know" : `field ${param}: ${issue.message}`;
  throw new EpithreError("invalid_request", `Cannot use body: ${problem}`, unknown ? {} : { param });
}

/** The database's own refusals (infra/db/migrations/0011_admin.sql), by SQLSTATE: their texts could quote a row. */
function explain(thrown: unknown): never {
  switch (sqlState(thrown)) {
    case "EP404":
      throw new EpithreError("not_found", "Cannot do this: what it names does not exist");
    case "EP409":
    case "23505":
      throw new EpithreError("conflict", "Cannot do this: it exists already, was closed, or its idempotency key was used for something else");
    case "EP402":
      throw new EpithreError("insufficient_quota", "Cannot take this amount: the account has less available");
    case "23514":
      throw new EpithreError("invalid_request", "Cannot do this: a value has the wrong sign or form");
    default:
      throw thrown;
  }
}
