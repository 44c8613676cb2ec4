/** The setting that purge acts by and the evidence shows: both must read the same. */
import { z } from "zod";
import { setting } from "./config.ts";
import { backupWindowDaysMax } from "./stored-data.ts";

const windowRule = `must be "none", or whole days up to ${backupWindowDaysMax}: with more, an erasure would take too long`;

/** Days that the oldest backup goes back: live data goes as much earlier (keep.*). */
export const backupWindowSetting = setting(
  "backup_window_days",
  z
    .string()
    .default("none")
    .refine((text) => text === "none" || (/^\d{1,2}$/.test(text) && Number(text) <= backupWindowDaysMax), windowRule)
    .transform((text) => (text === "none" ? null : Number(text))),
);
