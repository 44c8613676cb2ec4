/** Everything that policy is configured by. */
import { z } from "zod";
import { backupWindowSetting } from "#shared/backup-window.ts";
import { jsonSetting, secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { watched } from "#shared/flow.ts";
import { Ed25519PrivateKey } from "#shared/signing-key.ts";

const withoutLastSlash = (url: string) => url.replace(/\/$/, "");

export const configShape = {
  databaseUrl: databaseUrl("policy"),
  evidenceKey: secret("evidence-key", Ed25519PrivateKey),
  /** The same as purge's, or the evidence is red. */
  backupWindowDays: backupWindowSetting,
  /** Where everybody finds these pages. */
  publicUrl: setting("public_url", z.url({ protocol: /^https?$/ }).transform(withoutLastSlash)),
  /** Of the images that run. */
  release: setting("release", z.string().regex(/^[\w.+-]{1,64}$/)),
  /** JSON: where each function listens, for the status page. One that is left out is not shown. */
  functionUrls: setting("function_urls", jsonSetting(z.partialRecord(z.enum(watched), z.url({ protocol: /^https?$/ }).transform(withoutLastSlash)))),
};
