/** What a route is asked, checked: a mistake is named by its parameter, never by what was sent. */
import type { z } from "zod";
import { EpithreError } from "#shared/errors.ts";

interface Days {
  from?: string | undefined;
  to?: string | undefined;
}

export function readQuery<Schema extends z.ZodObject & z.ZodType<Days>>(parameters: URLSearchParams, schema: Schema): z.output<Schema> {
  const parsed = schema.safeParse(Object.fromEntries(parameters));
  if (!parsed.success) {
    const { code, path: [param], message } = parsed.error.issues[0]!;
    if (code === "unrecognized_keys") {
      const known = Object.keys(schema.shape).join(", ");
      throw new EpithreError("invalid_request", `Cannot use query: it has a parameter that this route does not know; it takes ${known}`);
    }
    throw new EpithreError("invalid_request", `Cannot use query: ${String(param)} ${message}`, { param: String(param) });
  }
  expectDaysInOrder("query", parsed.data);
  return parsed.data;
}

export function expectDaysInOrder(where: "query" | "body", { from, to }: Days): void {
  if (from !== undefined && to !== undefined && from > to) {
    throw new EpithreError("invalid_request", `Cannot use ${where}: from is later than to`, { param: "from" });
  }
}
