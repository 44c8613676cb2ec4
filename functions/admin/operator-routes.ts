/** What operators do about each other, and about their own sessions. */
import type { z } from "zod";
import type { Sql } from "#shared/db.ts";
import { createOperator, disableOperator, inviteOperator, listOperators, signOut } from "./operator-queries.ts";
import { type Route, route, type Settings } from "./route.ts";
import { CreateOperator, NamedOperator, Nothing, SignOut } from "./schema.ts";
import { newToken } from "./tokens.ts";

/** Hours in which an enrolment link counts: to the next working day. */
const inviteHours = 24;

const noOperator = "no operator has this id, or it is disabled";

/** The link is in this answer only; whoever opens it first is the operator. */
async function link(sql: Sql, operatorId: string, replaces: boolean, { consoleUrl }: Settings) {
  const { word, digest } = newToken();
  await inviteOperator(sql, operatorId, digest, replaces, inviteHours);
  return { operatorId, link: `${consoleUrl}#invite=${word}`, hours: inviteHours };
}

export const operatorRoutes: Record<string, Route<z.ZodType>> = {
  "/operators": route("list operators", Nothing, {}, async (sql, _, { operatorId }) => ({ you: operatorId, operators: await listOperators(sql) })),
  "/operators/create": route("create operator", CreateOperator, { conflict: "an operator has or had this name" }, async (sql, { name }, settings) =>
    link(sql, await createOperator(sql, name), false, settings),
  ),
  "/operators/recover": route("make enrolment link", NamedOperator, { missing: noOperator }, (sql, asked, settings) =>
    link(sql, asked.operatorId, true, settings),
  ),
  "/operators/disable": route(
    "disable operator",
    NamedOperator,
    { missing: noOperator, conflict: "nobody would be left who can sign in" },
    (sql, { operatorId }) => disableOperator(sql, operatorId),
  ),
  "/passkeys/add": route("make enrolment link", Nothing, { missing: noOperator }, (sql, _, settings) => link(sql, settings.operatorId, false, settings)),
  "/sign-out": route("sign out", SignOut, {}, (sql, { everywhere }, { session }) => signOut(sql, session, everywhere)),
};
