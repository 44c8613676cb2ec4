/** What operators do, signed in by a passkey. Each action and look-up appends its audit row in its own transaction; nothing here is public. */
import type { z } from "zod";
import type { DatabasePool } from "#shared/db-pool.ts";
import { type Sql, sqlState } from "#shared/db.ts";
import { EpithreError, type ErrorKind, errorResponse } from "#shared/errors.ts";
import type { Log } from "#shared/log.ts";
import { readJson } from "#shared/json-body.ts";
import { createScheduledHandler } from "#shared/scheduled.ts";
import { actAsOperator } from "./operator-queries.ts";
import type { Refusal, Route, Settings } from "./route.ts";
import { routes } from "./routes.ts";
import { createSignIn, type SignInDeps } from "./sign-in.ts";
import type { Console } from "./site.ts";
import { createThrottling } from "./throttling.ts";
import { digestOf } from "./tokens.ts";

export interface Deps extends Omit<SignInDeps, "origin">, Settings {
  database: DatabasePool;
  console: Console;
  log: Log;
}

export function createHandler({ database, relyingPartyId, console: pages, log, ...settings }: Deps): (request: Request) => Promise<Response> {
  const { origin } = new URL(settings.consoleUrl);
  const scheduled = createScheduledHandler(createThrottling(database, log));
  const signIn = createSignIn({ database, origin, relyingPartyId });

  /** Does what was asked as the operator of this session, in one transaction: no action without knowing whose it is. */
  function act({ answer }: Route<z.ZodType>, session: Buffer, asked: unknown): Promise<object | Response | void> {
    return database.run((sql) =>
      sql.begin(async (transaction) => {
        // A transaction answers queries as a connection does.
        const own = transaction as unknown as Sql;
        const operatorId = await actAsOperator(own, session);
        return answer(own, asked, { ...settings, database, operatorId, session });
      }),
    );
  }

  return async function admin(request) {
    try {
      const page = pages(request);
      if (page) return page;
      const { pathname } = new URL(request.url);
      if (pathname === "/") return await scheduled(request);
      const open = Object.hasOwn(signIn, pathname) ? signIn[pathname] : undefined;
      const found = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
      if (!open && !found) throw new EpithreError("unknown_url", "Cannot find this route: see functions/admin/README.md for the ones there are");
      if (request.method !== "POST") throw new EpithreError("method_not_allowed", "Cannot answer this method here: use POST");
      if (open) return Response.json(await open.answer(await readJson(request, open.schema)).catch(explainSignIn));
      const session = sessionOf(request);
      // Before the body is read: who has no session learns nothing of what it must be.
      await database.run((sql) => actAsOperator(sql, session)).catch((thrown) => explain(found!, thrown));
      const asked = await readJson(request, found!.schema);
      const answer = await act(found!, session, asked).catch((thrown) => explain(found!, thrown));
      return answer instanceof Response ? answer : Response.json(answer ?? {});
    } catch (thrown) {
      return errorResponse(thrown);
    }
  };
}

const signedOut = () => new EpithreError("invalid_api_key", "Cannot accept this call: sign in at the console, and send the session's token as `Authorization: Bearer ...`");

function sessionOf(request: Request): Buffer {
  const word = /^Bearer (\S{1,128})$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (word === undefined) throw signedOut();
  return digestOf(word);
}

const refusalOf: Record<string, Refusal> = {
  EP404: "missing",
  EP409: "conflict",
  "23505": "conflict",
  EP410: "past",
  EP422: "mismatch",
  EP402: "short",
  "23514": "malformed",
  "22P02": "malformed",
};

const kindOf: Record<Refusal, ErrorKind> = {
  missing: "not_found",
  conflict: "conflict",
  past: "invalid_request",
  mismatch: "conflict",
  short: "insufficient_quota",
  malformed: "invalid_request",
};

function explain({ task, refusals }: Route<z.ZodType>, thrown: unknown): never {
  if (sqlState(thrown) === "EP401") throw signedOut();
  const refusal = refusalOf[sqlState(thrown)];
  if (!refusal || !refusals[refusal]) throw thrown;
  throw new EpithreError(kindOf[refusal], `Cannot ${task}: ${refusals[refusal]}`);
}

function explainSignIn(thrown: unknown): never {
  const state = sqlState(thrown);
  if (state === "EP401" || state === "EP409") {
    throw new EpithreError("invalid_api_key", "Cannot accept this passkey: it, or its link, is not known here or was used meanwhile; try again");
  }
  if (state === "EP429") throw new EpithreError("rate_limit_exceeded", "Cannot begin to sign in: too many have begun; wait a minute", { retryAfterS: 60 });
  throw thrown;
}
