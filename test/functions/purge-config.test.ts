import { describe, expect, test } from "vitest";
import { backupWindowDaysMax } from "#shared/stored-data.ts";
import { configShape } from "../../functions/purge/config.ts";

const read = (text: string | undefined) => configShape.backupWindowDays.schema.safeParse(text);

describe("backup_window_days", () => {
  test.each([
    [undefined, null],
    ["none", null],
    ["0", 0],
    ["7", 7],
    [String(backupWindowDaysMax), backupWindowDaysMax],
  ])("%s is taken as %s", (text, days) => {
    expect(read(text)).toEqual({ success: true, data: days });
  });

  // A wrong word must not pass for "no backups": live data would stay longer than promised.
  test.each(["", "None", "seven", "7.5", "-1", "1e1", "999", String(backupWindowDaysMax + 1)])(
    "purge does not start with %j (keep.*)",
    (text) => {
      expect(read(text).error?.issues[0]?.message).toMatch(/^must be "none", or whole days up to 20/);
    },
  );
});
