/**
 * The log rebuilds each line from a closed schema of enums and numbers: a field that is not named here cannot
 * come out, and no field can hold a caller's text, an id or an address (content.none). Errors are named by kind
 * or SQLSTATE, never printed.
 */
import { z } from "zod";

const sqlState = z.string().regex(/^([0-9A-Z]{5}|other)$/);
const count = z.number();

const Line = z.discriminatedUnion("at", [
  z.object({ at: z.literal("started"), port: z.int() }),
  z.object({ at: z.literal("draining") }),
  z.object({ at: z.literal("stopped"), openRequests: count }),
  z.object({ at: z.literal("handler_failed"), kind: z.enum(["unexpected", "database"]), sqlState: sqlState.optional() }),
  z.object({ at: z.literal("process_failed"), kind: z.enum(["uncaught_exception", "unhandled_rejection"]) }),
  z.object({ at: z.literal("database_away"), sqlState }),
  z.object({ at: z.literal("database_back"), awayMs: count }),
  z.object({ at: z.literal("feed_stale"), ageMs: count }),
  z.object({ at: z.literal("feed_fresh") }),
  z.object({ at: z.literal("settlement_unknown"), rows: count }),
  z.object({ at: z.literal("settlement_refused"), rows: count }),
  z.object({ at: z.literal("lease_sync_failed"), leases: count }),
  z.object({ at: z.literal("backend_unhealthy"), backend: z.int() }),
  z.object({ at: z.literal("backend_healthy"), backend: z.int() }),
  z.object({ at: z.literal("purge_finished"), dropped: count, deleted: count, erased: count, durationMs: count }),
  z.object({ at: z.literal("purge_skipped"), reason: z.enum(["running_elsewhere", "gap"]) }),
  z.object({ at: z.literal("audit_sealed"), rows: count, days: count }),
  z.object({ at: z.literal("audit_seal_skipped"), reason: z.enum(["running_elsewhere", "clock_in_doubt", "busy"]) }),
  z.object({ at: z.literal("throttled"), accounts: count }),
  z.object({ at: z.literal("mail_sent"), messages: count }),
  z.object({ at: z.literal("mail_failed"), messages: count }),
  z.object({ at: z.literal("exports_run"), parts: count, ready: count, ended: count, removed: count, durationMs: count }),
  z.object({ at: z.literal("object_store_away") }),
  z.object({ at: z.literal("capture_out_of_band"), models: count, engineTokens: count, settledTokens: count, gapTokens: count }),
  z.object({ at: z.literal("engines_missing"), engines: count }),
]);

export type LogLine = z.input<typeof Line>;

/** Writes one JSON line to standard output. A line that does not fit the schema is dropped and counted. */
export function createLog(functionName: string, write: (line: string) => void = writeLine): (line: LogLine) => void {
  let dropped = 0;
  return function log(line) {
    const parsed = Line.safeParse(line);
    if (!parsed.success) {
      dropped += 1;
      write(JSON.stringify({ function: functionName, at: "line_dropped", dropped }));
      return;
    }
    write(JSON.stringify({ time: new Date().toISOString(), function: functionName, ...parsed.data }));
  };
}

export type Log = ReturnType<typeof createLog>;

function writeLine(line: string): void {
  console.log(line);
}
