import { createScheduledHandler } from "#shared/scheduled.ts";
import { createReconcile, type Deps } from "./reconcile.ts";

/** Called by the schedule, every 5 minutes: compares what the engines counted with what was settled. */
export function createHandler(deps: Deps): (request: Request) => Promise<Response> {
  return createScheduledHandler(createReconcile(deps));
}
