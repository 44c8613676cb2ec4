/** Everything that reconcile is configured by. */
import { z } from "zod";
import { backendsSetting } from "#shared/backends.ts";
import { setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";

const milliseconds = (fallback: number) => z.coerce.number().int().positive().max(86_400_000).default(fallback);
const rate = (fallback: number) => z.coerce.number().min(0).max(10).default(fallback);

export const configShape = {
  databaseUrl: databaseUrl("reconcile"),
  /** The same as the proxy's: its engines are the ones that count. */
  backends: setting("backends", backendsSetting),
  /** The longest that a call and its settlement take; more than the proxy's `stream_limit_ms`. */
  settledAfterMs: setting("settled_after_ms", milliseconds(20 * 60_000)),
  /** Over how much time the capture rate is taken. */
  windowMs: setting("window_ms", milliseconds(60 * 60_000)),
  /** Outside of these the operator is told. */
  captureRateMin: setting("capture_rate_min", rate(0.98)),
  captureRateMax: setting("capture_rate_max", rate(1.02)),
};
