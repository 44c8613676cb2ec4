/** The JSON body of a public route. */
import type { z } from "zod";
import { EpithreError } from "./errors.ts";

/**
 * Throws `unsupported_media_type` for another content type: a page elsewhere can send a form or plain text without being
 * asked, JSON it cannot. Else `invalid_json` or `invalid_request`, which names a field of ours and never one that the
 * caller made up.
 */
export async function readJson<Schema extends z.ZodType>(request: Request, schema: Schema): Promise<z.output<Schema>> {
  if (!/^application\/json *(;|$)/i.test(request.headers.get("content-type") ?? "")) {
    throw new EpithreError("unsupported_media_type", "Cannot read body: send JSON, with the header `Content-Type: application/json`");
  }
  const text = await request.text();
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  const { code, path, message } = parsed.error.issues[0]!;
  if (code === "unrecognized_keys") throw new EpithreError("invalid_request", "Cannot use body: it has a field that this route does not know");
  const param = path.join(".");
  const problem = param === "" ? message : `field ${param}: ${message}`;
  throw new EpithreError("invalid_request", `Cannot use body: ${problem}`, param === "" ? {} : { param });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new EpithreError("invalid_json", "Cannot read body: it is not valid JSON");
  }
}
