/** The query of a route, checked: a mistake is named by its parameter, never by what was sent. */
import type { z } from "zod";
import { EpithreError } from "#shared/errors.ts";
import type { UsageQuery } from "./schema.ts";

export function readQuery<Query extends UsageQuery>(parameters: URLSearchParams, schema: z.ZodObject & z.ZodType<Query>): Query {
  const parsed = schema.safeParse(Object.fromEntries(parameters));
  if (!parsed.success) {
    const { code, path: [param], message } = parsed.error.issues[0]!;
    if (code === "unrecognized_keys") {
      const known = Object.keys(schema.shape).join(", ");
      throw new EpithreError("invalid_request", `Cannot use query: it has a parameter that this route does not know; it takes ${known}`);
    }
    throw new EpithreError("invalid_request", `Cannot use query: ${String(param)} ${message}`, { param: String(param) });
  }
  const { from, to } = parsed.data;
  if (from !== undefined && to !== undefined && from > to) {
    throw new EpithreError("invalid_request", "Cannot use query: from is later than to", { param: "from" });
  }
  return parsed.data;
}
