/**
 * Reads a request body without keeping any of it: out come numbers, flags and byte positions. Pure, so that bodies
 * beyond 1 MB can be read in a worker thread (27 MB would block the event loop for 166 ms).
 */
import { EpithreError } from "#shared/errors.ts";
import { membersOf, type Member } from "./json-members.ts";
import { partsOf } from "./multipart.ts";
import type { Endpoint, EndpointName } from "./routes.ts";
import { bodySchemas, forwardedFields } from "./schema.ts";

/** What the proxy needs to know of a body to price, check and edit it. */
export interface Inspection {
  model: string;
  stream: boolean;
  /** The caller asked for usage: in the last chunk, or in every one. */
  includeUsage: boolean;
  continuousUsage: boolean;
  /** Prompts or inputs in the body. */
  prompts: number;
  /** Answers generated for each prompt. */
  choices: number;
  /** The caller's own limit, the smaller one where two are given; `null` where none is. */
  outputLimit: number | null;
  /** What the engine sees of the form of images; `null` leaves it to the engine. */
  size: string | null;
  quality: string | null;
  /** Bytes that can become tokens: everything but inline pictures; beyond any context with other media. */
  textBytes: number;
  /** Inline images and other media in the prompt. */
  media: number;
  /** Members of the top level, or the parts of a form. */
  members: Member[];
  /** One past the top-level object's closing brace, or one past a form's last part. */
  end: number;
  /** A form's boundary. */
  boundary?: string;
}

/** Throws `invalid_json`, `invalid_request`, `unsupported_value`, `remote_image` or `zero_retention`. */
export function inspect(endpoint: Endpoint, bytes: Buffer, contentType: string): Inspection {
  return endpoint.body === "json" ? inspectJson(endpoint.name, bytes) : inspectForm(endpoint.name, bytes, contentType);
}

function inspectJson(name: EndpointName, bytes: Buffer): Inspection {
  const { members, end } = topLevel(bytes);
  refuseDuplicates(members);
  const body = check(name, parseJson(bytes));
  const media = mediaIn(body);
  const textBytes = media.isUnbounded ? Number.MAX_SAFE_INTEGER : bytes.length - media.bytes;
  return { ...summary(name, body), textBytes, media: media.count, members, end };
}

/** Comes before the parser, which takes seconds for an object of a million members. */
function topLevel(bytes: Buffer): ReturnType<typeof membersOf> {
  try {
    return membersOf(bytes);
  } catch {
    throw new EpithreError("invalid_json", "Cannot read body: send one JSON object, with at most 1000 fields at its top level");
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new EpithreError("invalid_json", "Cannot read body: it is not valid JSON");
  }
}

/** JSON readers differ on which of two equal keys counts; what is priced must be what the engine reads. */
function refuseDuplicates(members: Member[]): void {
  const keys = new Set(members.map((member) => member.key));
  if (keys.size !== members.length) {
    throw new EpithreError("invalid_request", "Cannot read body: a top-level field is given twice");
  }
}

type Body = Record<string, unknown>;

function check(name: EndpointName, value: unknown): Body {
  const result = bodySchemas[name].safeParse(value);
  if (result.success) {
    if (result.data.store === true) {
      throw new EpithreError(
        "zero_retention",
        "Cannot store this completion: Epithre keeps no content. Leave `store` out or set it to false.",
        { param: "store" },
      );
    }
    return result.data;
  }
  const issue = result.error.issues[0]!;
  const param = issue.path.join(".");
  throw new EpithreError(
    issue.code === "invalid_value" ? "unsupported_value" : "invalid_request",
    `Cannot use field ${param}: ${issue.message}`,
    { param },
  );
}

/** Reads the fields that every endpoint shares; the schema has checked their types. */
function summary(name: EndpointName, body: Body) {
  const options = body.stream_options as { include_usage?: boolean; continuous_usage_stats?: boolean } | null | undefined;
  const limits = [body.max_tokens, body.max_completion_tokens].filter((limit) => typeof limit === "number");
  const choices = Math.max(Number(body.n ?? 1), name === "completions" ? Number(body.best_of ?? 1) : 1);
  return {
    model: body.model as string,
    stream: body.stream === true,
    includeUsage: options?.include_usage === true,
    continuousUsage: options?.continuous_usage_stats === true,
    prompts: promptsIn(name === "completions" ? body.prompt : name === "embeddings" ? body.input : undefined),
    choices,
    outputLimit: limits.length > 0 ? Math.min(...limits) : null,
    size: formOf(name, "size", body),
    quality: formOf(name, "quality", body),
  };
}

/** Only what is forwarded decides a price: an engine that does not see it does not follow it. */
function formOf(name: EndpointName, key: "size" | "quality", body: Body): string | null {
  const value = body[key];
  return typeof value === "string" && value !== "auto" && forwardedFields[name].openai.has(key) ? value : null;
}

function promptsIn(prompt: unknown): number {
  if (!Array.isArray(prompt)) return 1;
  return typeof prompt[0] === "number" ? 1 : prompt.length;
}

/** Counts inline media in chat messages; throws `remote_image` for a link that an engine would fetch. */
function mediaIn(body: Body): Media {
  const found = { count: 0, bytes: 0, isUnbounded: false };
  if (!Array.isArray(body.messages)) return found;
  for (const [index, message] of (body.messages as Body[]).entries()) {
    if (!Array.isArray(message.content)) continue;
    for (const part of message.content as Body[]) countMedia(part, `messages.${index}.content`, found);
  }
  return found;
}

interface Media {
  /** Inline pictures, and the characters that they take. */
  count: number;
  bytes: number;
  /** Video, audio or a document: only the context bounds the tokens that it becomes. */
  isUnbounded: boolean;
}

/** Part fields that hold media: `image_url` and its like may be a string or `{ url }`, `input_audio` has `{ data }`. */
function countMedia(part: Body, param: string, found: Media): void {
  for (const [key, value] of Object.entries(part)) {
    if (key === "file" && typeof value === "object" && value !== null && "file_id" in value) {
      throw new EpithreError("zero_retention", "Cannot use a file id: Epithre keeps no files. Send the content inline.", { param });
    }
    if (key !== "url" && !key.endsWith("_url") && key !== "input_audio" && key !== "file") continue;
    const media = mediaText(value);
    if (media === undefined) continue;
    if ((key === "url" || key.endsWith("_url")) && !media.startsWith("data:")) {
      throw new EpithreError(
        "remote_image",
        "Cannot fetch media from a link: send it inline as a data URL (data:image/png;base64,...)",
        { param },
      );
    }
    found.count += 1;
    found.bytes += media.length;
    found.isUnbounded ||= key !== "image_url" && key !== "url";
  }
}

function mediaText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return undefined;
  const { url, data, file_data: fileData } = value as Body;
  return [url, data, fileData].find((text) => typeof text === "string");
}

/** Form fields that hold files. */
const pictureFields = new Set(["image", "image[]", "mask"]);
/** Form fields that are numbers or flags in JSON. */
const numberFields = new Set(["n", "best_of", "max_tokens", "max_completion_tokens", "seed", "output_compression"]);

function inspectForm(name: EndpointName, bytes: Buffer, contentType: string): Inspection {
  const { parts, boundary, end } = partsOf(bytes, contentType);
  const files = parts.filter((part) => part.file);
  if (files.some(({ key }) => !pictureFields.has(key))) {
    throw new EpithreError("invalid_request", "Cannot use form: files go into the fields image, image[] and mask", { param: "image" });
  }
  const fields: Body = {};
  let textBytes = 0;
  for (const part of parts) {
    if (part.file) continue;
    if (Object.hasOwn(fields, part.key)) {
      throw new EpithreError("invalid_request", "Cannot read form: a field is given twice");
    }
    const text = bytes.toString("utf8", part.valueStart, part.valueEnd);
    textBytes += part.valueEnd - part.valueStart;
    Object.defineProperty(fields, part.key, { value: formValue(part.key, text), enumerable: true });
  }
  const body = check(name, fields);
  if (!files.some((file) => file.key === "image" || file.key === "image[]")) {
    throw new EpithreError("invalid_request", "Cannot use form: send the picture in a file field named image", { param: "image" });
  }
  return { ...summary(name, body), textBytes, media: files.length, members: parts, end, boundary };
}

function formValue(key: string, text: string): unknown {
  if (key === "stream") return text === "true" ? true : text === "false" ? false : text;
  return numberFields.has(key) && text.trim() !== "" ? Number(text) : text;
}
