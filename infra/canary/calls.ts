/** The calls of one scan: canaries wherever a caller can put words, with the key of an account like any other. */
import { randomUUID } from "node:crypto";
import type { Canary } from "./canary.ts";

export interface Api {
  /** Of the public API: `https://api.example.com`. */
  url: string;
  key: string;
  email: string | undefined;
}

export interface Calls {
  sent: number;
  /** An engine had the content: 200. */
  served: number;
  refused: number;
  /** No answer, or 5xx. */
  failed: number;
}

type Body = object | string | FormData;

interface Call {
  path: string;
  body?: Body;
  headers?: Record<string, string>;
  /** The caller leaves once the answer begins. */
  leaves?: true;
}

/** Milliseconds for a whole answer; engines that are asked for this little take seconds. */
const callTimeoutMs = 120_000;

/** Tokens that an answer may have: enough to say the word back. */
const answerTokens = 64;

/** Sends all of them, one after another: a scan is no load. Throws where no engine answered. */
export async function sendCanaries(api: Api, canary: Canary): Promise<Calls> {
  const counts: Calls = { sent: 0, served: 0, refused: 0, failed: 0 };
  const models = await offeredModels(api);
  for (const call of [...contentCalls(canary, models), ...oddCalls(canary, models)]) {
    const status = await send(api, call);
    counts.sent += 1;
    if (status === 200) counts.served += 1;
    else if (status !== undefined && status < 500) counts.refused += 1;
    else counts.failed += 1;
  }
  return counts;
}

/** The last call: its id is in the usage log once it was answered, after all that the calls before have left. */
export async function sendControl(api: Api, pathWord: string): Promise<string> {
  const models = await offeredModels(api);
  await send(api, { path: `/v1/models/${pathWord}` });
  if (api.email) await send(api, { path: "/v1/account/password/reset-request", body: { email: api.email } });
  const call: Call = models.chat
    ? { path: "/v1/chat/completions", body: { model: models.chat, messages: [{ role: "user", content: "Hello" }], max_tokens: 8 } }
    : { path: "/v1/embeddings", body: { model: models.embedding, input: "Hello" } };
  const response = await ask(api, call);
  const id = response.headers.get("x-request-id");
  await response.arrayBuffer();
  if (response.status !== 200 || !id) throw new Error(`Cannot scan: the API answers ${response.status} to a plain call; check the key, its balance and its limits`);
  return id;
}

type Models = Partial<Record<"chat" | "embedding" | "image", string>>;

/** One of each kind that the key may use. */
async function offeredModels(api: Api): Promise<Models> {
  const response = await ask(api, { path: "/v1/models" });
  if (response.status !== 200) throw new Error(`Cannot scan: the API answers ${response.status} to GET /v1/models; check its address and the key`);
  const { data } = (await response.json()) as { data: { id: string; kind: keyof Models }[] };
  return Object.fromEntries(data.reverse().map(({ id, kind }) => [kind, id]));
}

/** Well-formed calls, to every endpoint that a model is there for. */
function* contentCalls({ word, core }: Canary, models: Models): Iterable<Call> {
  const { chat: model, embedding, image } = models;
  const say = `Say this back, and nothing else: ${word}`;
  const user = (content: unknown) => [{ role: "user", content }];
  const schema = { type: "object", properties: { [word]: { type: "string", description: word } } };
  if (model) {
    const chat = (more: object): Call => ({ path: "/v1/chat/completions", body: { model, max_tokens: answerTokens, messages: user(say), ...more } });
    yield chat({});
    yield chat({ stream: true });
    yield { ...chat({ stream: true }), leaves: true };
    yield chat({ messages: [{ role: "system", content: word }, ...user([{ type: "text", text: say }])], stop: [word], [word]: word, metadata: { [word]: word } });
    yield chat({ tools: [{ type: "function", function: { name: `look_${core}`, description: word, parameters: schema } }] });
    yield chat({ response_format: { type: "json_schema", json_schema: { name: core, schema } } });
    yield { path: "/v1/completions", body: { model, prompt: say, max_tokens: answerTokens } };
  }
  if (embedding) yield { path: "/v1/embeddings", body: { model: embedding, input: [word, say] } };
  if (image) {
    yield { path: "/v1/images/generations", body: { model: image, prompt: word } };
    for (const path of ["/v1/images/edits", "/v1/images/variations"]) yield { path, body: picture(word, image) };
  }
}

function picture(word: string, model: string): FormData {
  const form = new FormData();
  form.set("model", model);
  form.set("prompt", word);
  form.set("image", new Blob([word], { type: "image/png" }), `${word}.png`);
  form.set(word, word);
  return form;
}

/** What a careless program sends: refused, or looked at in part only. */
function oddCalls({ word }: Canary, models: Models): Call[] {
  const ascii = encodeURIComponent(word);
  const path = "/v1/chat/completions";
  const model = models.chat ?? word;
  const headers = { "x-request-id": ascii, "user-agent": ascii, referer: `https://example.com/${ascii}`, cookie: `a=${ascii}`, "idempotency-key": ascii };
  return [
    { path, body: { model: word, messages: [{ role: "user", content: word }] } },
    { path, body: { model, messages: word, temperature: word } },
    { path, body: `{"model": "${word}", ` },
    { path: `${path}?prompt=${ascii}`, body: { model, max_tokens: 1, messages: [{ role: "user", content: word }] }, headers },
    { path: `/v1/models/${ascii}?q=${ascii}` },
    { path: `/v1/usage.csv?model=${ascii}` },
    { path: `/v1/${ascii}`, body: { [word]: word } },
    { path: "/v1/files", body: picture(word, word) },
    { path: "/v1/batches", body: { [word]: word } },
    { path: "/v1/responses", body: { model, input: word } },
    { path: "/v1/audio/transcriptions", body: picture(word, model) },
    { path, body: { model, messages: [{ role: "user", content: word }] }, headers: { authorization: `Bearer ${ascii}` } },
  ];
}

function ask({ url, key }: Api, { path, body, headers }: Call): Promise<Response> {
  const isForm = body instanceof FormData;
  return fetch(new URL(path, url), {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${key}`, ...(body !== undefined && !isForm ? { "content-type": "application/json" } : {}), ...headers },
    ...(body !== undefined && { body: isForm ? body : typeof body === "string" ? body : JSON.stringify(body) }),
    signal: AbortSignal.timeout(callTimeoutMs),
  });
}

/** The status of the answer; undefined where there was none. */
async function send(api: Api, call: Call): Promise<number | undefined> {
  try {
    const response = await ask(api, call);
    if (call.leaves) await response.body?.cancel();
    else await response.arrayBuffer();
    return response.status;
  } catch {
    return undefined;
  }
}

/** For a path: nothing like it was there before. */
export const newPathWord = () => `control-${randomUUID()}`;
