/** What operators look at: accounts, models and engines, signs of abuse, the audit log, the evidence of retention. */
import type { z } from "zod";
import { abuseSignals, abuseThresholds, throttle, throttleThresholds } from "./abuse.ts";
import { exportResponse } from "./audit-export.ts";
import * as queries from "./lookup-queries.ts";
import { type Route, route } from "./route.ts";
import { ExportAudit, FindAccounts, NamedAccount, Nothing, ReadAudit } from "./schema.ts";

/** Minutes over which the health of a model is told. */
const healthMinutes = 5;

/** Rows of one page of the audit log; days and runs that are listed. */
const auditRowsMax = 100;
const auditDaysMax = 31;
const purgeRunsMax = 50;

export const lookupRoutes: Record<string, Route<z.ZodType>> = {
  "/accounts/find": route("find accounts", FindAccounts, {}, async (sql, asked) => ({ accounts: await queries.findAccounts(sql, asked) })),
  "/accounts/read": route("read account", NamedAccount, { missing: "no account has this id" }, (sql, { accountId }) =>
    queries.readAccount(sql, accountId),
  ),
  "/models/list": route("list models", Nothing, {}, async (sql) => ({
    minutes: healthMinutes,
    models: await queries.listModels(sql, healthMinutes),
    engines: await queries.listEngines(sql),
  })),
  "/abuse": route("list signs of abuse", Nothing, {}, async (sql) => ({
    thresholds: abuseThresholds,
    signals: abuseSignals,
    accounts: await queries.listAbuse(sql, abuseThresholds),
    throttling: { thresholds: throttleThresholds, ...throttle },
    throttles: await queries.listThrottles(sql),
  })),
  "/abuse/lift": route("lift throttle", NamedAccount, { missing: "the account has none that is in force" }, (sql, { accountId }) =>
    queries.liftThrottle(sql, accountId),
  ),
  "/audit": route("read audit log", ReadAudit, { malformed: "the log knows no such action" }, async (sql, asked) => {
    const rows = await queries.readAudit(sql, asked, auditRowsMax);
    const { at, id } = rows.at(-1) ?? {};
    return { rows, next: rows.length < auditRowsMax ? null : { at, id } };
  }),
  "/audit/days": route("list days of the audit log", Nothing, {}, async (sql) => ({
    actions: await queries.listAuditActions(sql),
    days: await queries.listAuditDays(sql, auditDaysMax),
  })),
  "/audit/export": route("export audit log", ExportAudit, {}, async (sql, asked, { database }) =>
    exportResponse(database, await queries.exportDays(sql, asked)),
  ),
  "/purge/runs": route("list runs of purge", Nothing, {}, async (sql) => ({ runs: await queries.listPurgeRuns(sql, purgeRunsMax) })),
};
