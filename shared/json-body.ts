/** The body of a call by a person's program: JSON of one shape, or an error that says what is wrong with it. */
import type { z } from "zod";
import { EpithreError } from "./errors.ts";

/** The message names a field of `schema`, never one that the caller made up; nor does it quote a value. */
export async function readJson<Schema extends z.ZodType>(request: Request, schema: Schema): Promise<z.output<Schema>> {
  let body: unknown;
  try {
    body = await request.json();
  } catch {
    throw new EpithreError("invalid_json", "Cannot read body: it is not valid JSON");
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const unknown = issue.code === "unrecognized_keys";
  const param = issue.path.join(".");
  const problem = unknown ? "it has a field that this route does not know" : `field ${param}: ${issue.message}`;
  throw new EpithreError("invalid_request", `Cannot use body: ${problem}`, unknown ? {} : { param });
}
