/** Everything that purge is configured by. */
import { z } from "zod";
import { setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { backupWindowDaysMax } from "#shared/stored-data.ts";

const windowRule = `must be "none", or whole days up to ${backupWindowDaysMax}: with more, an erasure would take too long`;

export const configShape = {
  databaseUrl: databaseUrl("purge"),
  /** Days that the oldest backup goes back: live data goes as much earlier (keep.*). */
  backupWindowDays: setting(
    "backup_window_days",
    z
      .string()
      .default("none")
      .refine((text) => text === "none" || (/^\d{1,2}$/.test(text) && Number(text) <= backupWindowDaysMax), windowRule)
      .transform((text) => (text === "none" ? null : Number(text))),
  ),
};
