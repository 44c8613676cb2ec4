/**
 * The handler of a function that a schedule calls: POST to the root does the work that is due. Whoever calls it does
 * no harm, since what is not due is not done; so it needs no authentication, which cron-connector could not send.
 */
import { EpithreError, errorResponse } from "./errors.ts";

export function createScheduledHandler(work: () => Promise<object>): (request: Request) => Promise<Response> {
  return async function scheduled(request) {
    try {
      if (new URL(request.url).pathname !== "/") {
        throw new EpithreError("unknown_url", "Cannot find this route: the schedule calls the root");
      }
      if (request.method !== "POST") {
        throw new EpithreError("method_not_allowed", "Cannot answer this method here: use POST", { headers: { allow: "POST" } });
      }
      return Response.json(await work());
    } catch (thrown) {
      return errorResponse(thrown);
    }
  };
}
