/** Everything that purge is configured by. */
import { backupWindowSetting } from "#shared/backup-window.ts";
import { databaseUrl } from "#shared/db.ts";

export const configShape = {
  databaseUrl: databaseUrl("purge"),
  backupWindowDays: backupWindowSetting,
};
