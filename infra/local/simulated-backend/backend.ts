/**
 * The simulated inference backend: speaks like vLLM, generates nothing. For this machine only: it listens on
 * loopback, refuses to start inside a cluster, and says "simulated" in every answer.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseBehaviour, UnknownBehaviour, type Behaviour } from "./behaviour.ts";
import { streamEvents, wholeBody, type Envelope } from "./answers.ts";
import { metricsText, noCounts, summed, type Counts } from "./counts.ts";
import { embeddingOf } from "./embeddings.ts";
import { chatGeneration, chatPrompt, completionGeneration, readBehaviour, textPrompts, type Json } from "./generation.ts";
import { formRequest, generationRequest, imagesBody, type ImageRequest } from "./images.ts";
import { simulatedModels, type SimulatedModel } from "./models.ts";
import { contextRefusal, Refusal } from "./refusal.ts";
import { createReply, type Reply, type Tally } from "./reply.ts";

/** Bytes. Beyond what the proxy lets through, so that its limit is the one that counts. */
const bodyBytesMax = 128 * 1024 * 1024;

/** Milliseconds. Longer than any client keeps an idle connection, so that the client closes it first. */
const keepAliveTimeoutMs = 120_000;

const loopback = ["127.0.0.1", "::1", "localhost"];

export interface SimulatedBackendOptions {
  /** 0 takes a free one. */
  port?: number;
  /** A loopback address; anything else is refused. */
  host?: string;
}

export interface SimulatedBackend {
  url: string;
  port: number;
  counts(): Counts;
  /** Sets counts to zero and forgets every behaviour that was set. */
  reset(): void;
  /** As `POST /simulated/behaviour`. */
  behave(setting: BehaviourSetting): void;
  close(): Promise<void>;
}

/** `next`: one behaviour for each of the following requests; `always`: for all further ones, until reset. */
export interface BehaviourSetting {
  next?: Behaviour[];
  always?: Behaviour;
}

/** Throws an Error with one sentence when the place is wrong: not loopback, in a cluster, port taken. */
export async function startSimulatedBackend({ port = 0, host = "127.0.0.1" }: SimulatedBackendOptions = {}): Promise<SimulatedBackend> {
  if (!loopback.includes(host)) throw new Error("Cannot start the simulated backend: it listens on loopback only");
  if (process.env.KUBERNETES_SERVICE_HOST !== undefined) {
    throw new Error("Cannot start the simulated backend: this is a Kubernetes cluster, where only real engines may answer");
  }
  const state = createState();
  const server = createServer({ keepAliveTimeout: keepAliveTimeoutMs, requestTimeout: 0 }, (request, response) => {
    response.sendDate = false;
    receive(request, response, state);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const { port: listening } = server.address() as AddressInfo;
  return {
    url: `http://${host === "::1" ? "[::1]" : host}:${listening}`,
    port: listening,
    counts: () => state.counts(),
    reset: () => state.reset(),
    behave: (setting) => state.behave(setting),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

type State = ReturnType<typeof createState>;

function createState() {
  const models = new Map(simulatedModels.map((model) => [model.id, model]));
  let tallies = new Map<string, Tally>();
  let next: Behaviour[] = [];
  let always: Behaviour | undefined;
  let answers = 0;

  const fresh = () => new Map(simulatedModels.map(({ id }) => [id, { ...noCounts(), open: 0 }]));
  tallies = fresh();

  return {
    model(id: unknown): SimulatedModel {
      const found = models.get(id as string);
      if (!found) throw new Refusal(404, `The model \`${String(id)}\` does not exist.`, "model");
      return found;
    },
    tally: (model: SimulatedModel) => tallies.get(model.id)!,
    takeBehaviour: () => next.shift() ?? always,
    nextId: () => (answers += 1).toString(36).padStart(8, "0"),
    behave(setting: BehaviourSetting) {
      if (setting.next) next.push(...setting.next.map((each) => parseBehaviour({ ...each })));
      if (setting.always) always = parseBehaviour({ ...setting.always });
    },
    reset() {
      // Requests under way keep their old tally, which nobody reads any more.
      tallies = fresh();
      next = [];
      always = undefined;
    },
    counts(): Counts {
      const all = Object.fromEntries([...tallies].map(([id, { open: _, ...counts }]) => [id, counts]));
      const open = [...tallies.values()].reduce((sum, tally) => sum + tally.open, 0);
      return { open, models: all, total: summed(all) };
    },
    metrics: () => metricsText({ open: 0, models: Object.fromEntries(tallies), total: noCounts() }, (id) => tallies.get(id)?.open ?? 0),
  };
}

type Route = (state: State, reply: Reply, body: Buffer, contentType: string) => void;

const posts: Record<string, Route> = {
  "/v1/chat/completions": answerChat,
  "/v1/completions": answerCompletion,
  "/v1/embeddings": answerEmbeddings,
  "/v1/images/generations": (state, reply, body) => answerImages(state, reply, generationRequest(parseJson(body))),
  "/v1/images/edits": (state, reply, body, contentType) => answerImages(state, reply, formRequest(contentType, body, true)),
  "/v1/images/variations": (state, reply, body, contentType) => answerImages(state, reply, formRequest(contentType, body, false)),
  "/simulated/behaviour": (state, reply, body) => {
    state.behave(parseJson(body) as BehaviourSetting);
    reply.json(200, "{}");
  },
  "/simulated/reset": (state, reply) => {
    state.reset();
    reply.json(200, "{}");
  },
};

const gets: Record<string, (state: State, reply: Reply) => void> = {
  "/health": (_, reply) => reply.json(200, ""),
  "/version": (_, reply) => reply.json(200, '{"version":"simulated"}'),
  "/metrics": (state, reply) => reply.text(200, state.metrics()),
  "/v1/models": (_, reply) => reply.json(200, modelsJson),
  "/simulated/counts": (state, reply) => reply.json(200, JSON.stringify(state.counts())),
};

const modelsJson = JSON.stringify({
  object: "list",
  data: simulatedModels.map(({ id, contextTokens }) => ({
    id,
    object: "model",
    created: 1_767_225_600,
    owned_by: "simulated",
    root: id,
    parent: null,
    max_model_len: contextTokens,
  })),
});

function receive(request: IncomingMessage, response: ServerResponse, state: State): void {
  const reply = createReply(response);
  const path = request.url!;
  if (request.method === "GET") {
    const get = gets[path];
    if (get) get(state, reply);
    else reply.error(new Refusal(404, "Not Found"));
    return;
  }
  const post = request.method === "POST" ? posts[path] : undefined;
  if (!post) {
    reply.error(new Refusal(request.method === "POST" ? 404 : 405, request.method === "POST" ? "Not Found" : "Method Not Allowed"));
    return;
  }
  readBody(request, reply, (body) => {
    try {
      post(state, reply, body, request.headers["content-type"] ?? "");
    } catch (thrown) {
      if (thrown instanceof Refusal) reply.error(thrown);
      else if (thrown instanceof UnknownBehaviour) reply.error(new Refusal(422, thrown.message));
      else throw thrown;
    }
  });
}

/** Most bodies are one chunk, which is handed on as it is. */
function readBody(request: IncomingMessage, reply: Reply, done: (body: Buffer) => void): void {
  let first: Buffer | undefined;
  let more: Buffer[] | undefined;
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) request.destroy();
    else if (first === undefined) first = chunk;
    else (more ??= [first]).push(chunk);
  });
  request.on("end", () => done(more ? Buffer.concat(more) : (first ?? Buffer.alloc(0))));
  request.on("error", () => reply.left());
}

function parseJson(body: Buffer): Json {
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed as Json;
  } catch {
    // Said below: both are the same mistake to the caller.
  }
  throw new Refusal(400, "JSON decode error");
}

/** Seconds since 1970, as OpenAI's `created`. */
function nowS(): number {
  return Math.trunc(Date.now() / 1000);
}

function answerChat(state: State, reply: Reply, raw: Buffer): void {
  const body = parseJson(raw);
  const model = chatModel(state, body);
  reply.countFor(state.tally(model));
  const prompt = chatPrompt(body);
  const behaviour = readBehaviour(prompt.lastText, state.takeBehaviour());
  refuseOnDemand(behaviour, model, prompt.lastText);
  const generation = chatGeneration(model, body, raw, prompt, behaviour);
  const envelope: Envelope = { kind: "chat", id: `chatcmpl-simulated-${state.nextId()}`, model: model.id, created: nowS() };
  generate(reply, envelope, generation, behaviour);
}

function answerCompletion(state: State, reply: Reply, raw: Buffer): void {
  const body = parseJson(raw);
  const model = chatModel(state, body);
  reply.countFor(state.tally(model));
  const prompts = textPrompts(body.prompt, "prompt");
  const behaviour = readBehaviour(prompts[0]!.lastText, state.takeBehaviour());
  refuseOnDemand(behaviour, model, prompts[0]!.lastText);
  const generation = completionGeneration(model, body, raw, prompts, behaviour);
  const envelope: Envelope = { kind: "text", id: `cmpl-simulated-${state.nextId()}`, model: model.id, created: nowS() };
  generate(reply, envelope, generation, behaviour);
}

function generate(reply: Reply, envelope: Envelope, generation: Parameters<typeof wholeBody>[1], behaviour: Behaviour): void {
  if (generation.stream) reply.stream(generation, streamEvents(envelope, generation, behaviour.usage), behaviour);
  else reply.whole({ ...generation, images: 0 }, () => wholeBody(envelope, generation, behaviour.usage), behaviour);
}

function answerEmbeddings(state: State, reply: Reply, raw: Buffer): void {
  const body = parseJson(raw);
  const model = state.model(body.model);
  if (model.kind !== "embedding") throw new Refusal(400, "The model does not support Embeddings API");
  reply.countFor(state.tally(model));
  const embedding = embeddingOf(model, body);
  const behaviour = readBehaviour(embedding.lastText, state.takeBehaviour());
  refuseOnDemand(behaviour, model, embedding.lastText);
  reply.whole({ promptTokens: embedding.promptTokens, completionTokens: 0, images: 0 }, () => embedding.body(behaviour), behaviour);
}

function answerImages(state: State, reply: Reply, request: ImageRequest): void {
  const model = state.model(request.model);
  if (model.kind !== "image") throw new Refusal(400, "The model does not support Images API");
  reply.countFor(state.tally(model));
  const behaviour = readBehaviour(request.prompt, state.takeBehaviour());
  refuseOnDemand(behaviour, model, request.prompt);
  reply.whole({ promptTokens: 0, completionTokens: 0, images: request.images }, () => imagesBody(request, behaviour, nowS()), behaviour);
}

function chatModel(state: State, body: Json): SimulatedModel {
  const model = state.model(body.model);
  if (model.kind !== "chat") throw new Refusal(400, "The model does not support Chat Completions API");
  return model;
}

function refuseOnDemand({ status, error, echo, retry_after: retryAfterS }: Behaviour, model: SimulatedModel, prompt: string): void {
  if (error) throw contextRefusal(error, model.contextTokens, model.contextTokens, 1);
  if (status === undefined || status < 400) return;
  // Real engines quote the request in errors, so a proxy must be seen not to pass their text on.
  throw Object.assign(new Refusal(status, echo ? `Simulated error about: ${prompt}` : "Simulated error"), { retryAfterS });
}
