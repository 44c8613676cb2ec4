import { createScheduledHandler } from "#shared/scheduled.ts";
import { createNotify, type Deps } from "./notify.ts";

/** Called by the schedule, every minute: sends what the outbox has. */
export function createHandler(deps: Deps): (request: Request) => Promise<Response> {
  return createScheduledHandler(createNotify(deps));
}
