/** One admitted call: its worst case in tokens and money, and the body as a backend may see it. */
import { createHmac } from "node:crypto";
import type { BackendConfig } from "#shared/backends.ts";
import { EpithreError } from "#shared/errors.ts";
import { holdMicroMax, type MicroRupiah } from "#shared/money.ts";
import { priceOf } from "#shared/pricing.ts";
import type { Model, Price } from "../billing/schema.ts";
import { dearestImagePrice } from "./image-price.ts";
import type { Inspection } from "./inspection.ts";
import { editMembers, splice, type Edit } from "./json-members.ts";
import type { Endpoint } from "./routes.ts";
import { forwardedFields } from "./schema.ts";

export interface Bounds {
  promptTokensMax: number;
  completionTokensMax: number;
  imagesMax: number;
}

/** Tokens of the units that one request used, as the engine reported them. */
export interface Usage {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  images: number;
}

export const noUsage: Usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0, images: 0 };

export interface Call {
  endpoint: Endpoint;
  model: Model;
  price: Price;
  inspection: Inspection;
  bounds: Bounds;
  /** The output limit written into the forwarded body; `null` for endpoints without one. */
  outputLimit: number | null;
  holdMicro: MicroRupiah;
}

/** Throws `context_length_exceeded` when the call's own output limit cannot be met. */
export function admit(endpoint: Endpoint, model: Model, price: Price, inspection: Inspection): Call {
  const { prompts, choices, textBytes, media } = inspection;
  const promptBound = Math.min(
    textBytes + prompts * model.templateTokens + media * model.imageTokensMax,
    prompts * model.contextTokens,
  );
  const generates = endpoint.kind === "chat";
  const outputLimit = generates ? outputLimitOf(model, inspection, promptBound) : null;
  const bounds: Bounds = {
    promptTokensMax: promptBound,
    completionTokensMax: prompts * choices * (outputLimit ?? (endpoint.kind === "image" ? model.outputTokensMax : 0)),
    imagesMax: endpoint.kind === "image" ? choices : 0,
  };
  const dearest = endpoint.kind === "image" ? dearestImagePrice(price, inspection) : price;
  return { endpoint, model, price, inspection, bounds, outputLimit, holdMicro: worstCaseMicro(bounds, dearest) };
}

/**
 * Prompt bytes are an upper bound of prompt tokens, so a long prompt leaves an unlimited call less room than it
 * really has; a quarter of the context is always offered, and the engine has the last word on what fits.
 */
function outputLimitOf(model: Model, { outputLimit, prompts }: Inspection, promptBound: number): number {
  const most = Math.min(model.outputTokensMax, model.contextTokens);
  if (outputLimit === null) {
    const room = model.contextTokens - Math.ceil(promptBound / prompts);
    return Math.min(most, Math.max(room, Math.floor(model.contextTokens / 4), 1));
  }
  if (outputLimit > most) {
    throw new EpithreError(
      "context_length_exceeded",
      `Cannot generate ${outputLimit} tokens: this model's maximum is ${most}. Ask for fewer.`,
      { param: "max_tokens" },
    );
  }
  return outputLimit;
}

function worstCaseMicro(bounds: Bounds, price: Price): MicroRupiah {
  const micro =
    bounds.promptTokensMax * Math.max(price.inputMicro, price.cachedInputMicro) +
    bounds.completionTokensMax * price.outputMicro +
    bounds.imagesMax * price.imageMicro;
  if (!Number.isSafeInteger(micro) || micro < 0 || micro > holdMicroMax) {
    throw new EpithreError("invalid_request", "Cannot price this call: its worst case is beyond any balance. Ask for less output.");
  }
  return micro;
}

/**
 * The call with the largest output limit that `microMax` pays for, its own at the most; `undefined` where not one token
 * fits, or where it has no limit to clamp.
 */
export function clamp(call: Call, microMax: MicroRupiah): Call | undefined {
  if (microMax >= call.holdMicro) return call;
  if (call.outputLimit === null) return undefined;
  const answers = call.inspection.prompts * call.inspection.choices;
  const promptMicro = call.holdMicro - call.bounds.completionTokensMax * call.price.outputMicro;
  const outputLimit = Math.floor((microMax - promptMicro) / (answers * call.price.outputMicro));
  if (!(outputLimit >= 1)) return undefined;
  const bounds = { ...call.bounds, completionTokensMax: answers * outputLimit };
  return { ...call, bounds, outputLimit, holdMicro: worstCaseMicro(bounds, call.price) };
}

/** Bytes of a token, and tokens of output, that a call is taken to have before it runs, for its key's limit. */
const likelyBytesPerToken = 4;
const likelyOutputTokens = 256;

/**
 * Tokens that a call will likely use: the worst case would let a key with a limit make few calls at once. Output counts
 * by the caller's own limit where there is one.
 */
export function likelyTokens({ endpoint, model, inspection, bounds, outputLimit }: Call): number {
  const { textBytes, media, prompts, choices } = inspection;
  const prompt = Math.min(
    Math.ceil(textBytes / likelyBytesPerToken) + prompts * model.templateTokens + media * model.imageTokensMax,
    bounds.promptTokensMax,
  );
  if (endpoint.kind !== "chat") return prompt + bounds.completionTokensMax;
  return prompt + prompts * choices * (inspection.outputLimit ?? Math.min(likelyOutputTokens, outputLimit!));
}

/** Never more than the hold: the price and the bound were fixed when it was taken. */
export function costMicro(call: Call, usage: Usage, price = call.price): MicroRupiah {
  return Math.min(priceOf(usage, price), call.holdMicro);
}

export interface ForwardedBody {
  bytes: Buffer;
  /** Fields of the caller's that the backend does not get to see. */
  ignoredFields: number;
}

/** The body for one type of backend: unknown fields cut out, our own written in, all other bytes untouched. */
export function bodyFor(call: Call, bytes: Buffer, type: BackendConfig["type"], cacheSalt: string): ForwardedBody {
  const allowed = forwardedFields[call.endpoint.name][type];
  const { members } = call.inspection;
  const ours = ownFields(call, type, cacheSalt);
  const dropped = new Set<number>();
  let ignoredFields = 0;
  for (const [index, { key }] of members.entries()) {
    if (isReplaced(key, ours)) dropped.add(index);
    else if (!allowed.has(key)) {
      dropped.add(index);
      ignoredFields += 1;
    }
  }
  const edits = call.endpoint.body === "json" ? jsonEdits(call, dropped, ours) : formEdits(call, dropped, ours);
  return { bytes: splice(bytes, edits), ignoredFields };
}

/** Fields that the caller may send but that never travel as they came. */
const ownedFields = ["stream_options", "store", "cache_salt"];

function isReplaced(key: string, ours: ReadonlyMap<string, string>): boolean {
  return ours.has(key === "max_completion_tokens" ? "max_tokens" : key) || ownedFields.includes(key);
}

function ownFields(call: Call, type: BackendConfig["type"], cacheSalt: string): Map<string, string> {
  const { endpoint, inspection, outputLimit } = call;
  const fields = new Map<string, string>();
  if (endpoint.kind === "image") fields.set("response_format", `"b64_json"`);
  if (endpoint.kind !== "chat") return fields;
  if (!limitStands(call)) fields.set("max_tokens", String(outputLimit));
  if (inspection.stream) {
    fields.set("stream_options", `{"include_usage":true${type === "openai" ? "" : `,"continuous_usage_stats":true`}}`);
  }
  if (type !== "openai") fields.set("cache_salt", JSON.stringify(cacheSalt));
  return fields;
}

/** Every engine reads `max_tokens`, some read nothing else; a limit of `null` is none. */
function limitStands({ inspection, outputLimit }: Call): boolean {
  const limits = inspection.members.filter(({ key }) => key === "max_tokens" || key === "max_completion_tokens");
  return outputLimit === inspection.outputLimit && limits.length === 1 && limits[0]!.key === "max_tokens";
}

function jsonEdits(call: Call, dropped: ReadonlySet<number>, ours: Map<string, string>): Edit[] {
  const added = [...ours].map(([key, value]) => `${JSON.stringify(key)}:${value}`);
  return editMembers(call.inspection, dropped, added);
}

function formEdits({ inspection }: Call, dropped: ReadonlySet<number>, ours: Map<string, string>): Edit[] {
  const lineEnd = 2;
  const edits: Edit[] = [];
  for (const index of dropped) {
    const part = inspection.members[index]!;
    edits.push({ start: part.keyStart, end: part.valueEnd + lineEnd, text: "" });
  }
  for (const [key, value] of ours) {
    const text = `--${inspection.boundary}\r\ncontent-disposition: form-data; name="${key}"\r\n\r\n${JSON.parse(value)}\r\n`;
    edits.push({ start: inspection.end, end: inspection.end, text });
  }
  return edits;
}

/** Salts in memory; all are forgotten when there are more. */
const cacheSaltsMax = 10_000;

/** What an engine may share its prefix cache by: stable for an account, worthless without the server's secret. */
export function createCacheSalts(secret: string): (accountId: string) => string {
  const known = new Map<string, string>();
  return function cacheSaltOf(accountId) {
    const remembered = known.get(accountId);
    if (remembered) return remembered;
    if (known.size >= cacheSaltsMax) known.clear();
    const salt = createHmac("sha256", secret).update(accountId).digest("base64url");
    known.set(accountId, salt);
    return salt;
  };
}
