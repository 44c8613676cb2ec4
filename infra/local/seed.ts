/**
 * What a first start finds nothing of: models with prices, and a developer's account with signup credit and a key.
 * Everything goes through the admin function's API, as an operator would do it. Each step is kept as soon as it is
 * done, so that a start that is killed here goes on from there.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { request } from "undici";
import { z } from "zod";
import { microPerRupiah } from "#shared/money.ts";
import { scopes } from "#shared/policy.ts";
import type { BackendModel } from "./backends.ts";
import { writePrivateFile } from "./data-folder.ts";

export interface SeedOptions {
  dataDir: string;
  /** Of the admin function, through the gateway. */
  adminUrl: string;
  operatorToken: string;
  models: readonly BackendModel[];
  /** Of the gateway. */
  url: string;
  signal: AbortSignal;
}

export const developerEmail = "developer@example.com";

/** Rupiah that a new account starts with. */
const signupCreditRupiah = 100_000n;

/** Far above what one machine can serve, so that a load test meets no limit but the machine's. */
const requestsPerMinute = 1_000_000;
const tokensPerMinute = 1_000_000_000;

/** Example prices: micro-rupiah for each token is rupiah for a million of them; an image costs 250 rupiah, a small one 100. */
const prices = {
  chat: { inputMicro: 5_000, cachedInputMicro: 1_250, outputMicro: 20_000, imageMicro: 0 },
  embedding: { inputMicro: 300, cachedInputMicro: 300, outputMicro: 0, imageMicro: 0 },
  image: {
    inputMicro: 5_000,
    cachedInputMicro: 5_000,
    outputMicro: 0,
    imageMicro: 250 * microPerRupiah,
    lines: [
      { size: "512x512", imageMicro: 100 * microPerRupiah },
      { quality: "hd", imageMicro: 500 * microPerRupiah },
      { size: "512x512", quality: "hd", imageMicro: 200 * microPerRupiah },
    ],
  },
} as const;

/** Milliseconds until the proxy must know what was entered: it polls keys and prices at least once a second. */
const knownTimeoutMs = 15_000;
const knownIntervalMs = 50;

/** What former starts entered. The key is here in the clear: this is a development stack. */
const Kept = z.object({
  /** Whether each model is on offer, by id. */
  models: z.record(z.string(), z.boolean()).default({}),
  accountId: z.string().optional(),
  creditKey: z.string().optional(),
  hasCredit: z.boolean().optional(),
  apiKey: z.string().optional(),
});
type Kept = z.output<typeof Kept>;

interface Memory {
  kept: Kept;
  keep(more: Partial<Kept>): Promise<void>;
}

/** Answers the developer's API key, once the proxy takes it and serves the models. */
export async function seed(options: SeedOptions): Promise<string> {
  const file = join(options.dataDir, "development-account.json");
  const kept = Kept.parse(existsSync(file) ? JSON.parse(await readFile(file, "utf8")) : {});
  const keep = (more: Partial<Kept>) => writePrivateFile(file, JSON.stringify(Object.assign(kept, more)));
  await enterModels(options, { kept, keep });
  const apiKey = await enterDeveloper(options, { kept, keep });
  await untilKnown(options, apiKey);
  return apiKey;
}

/** Models that a former start had and this one has not are taken off the list, until a start has them again. */
async function enterModels(options: SeedOptions, { kept, keep }: Memory): Promise<void> {
  const setOffered = async (id: string, enabled: boolean) => {
    await call(options, "/models/enable", { id, enabled }, z.unknown());
    await keep({ models: { ...kept.models, [id]: enabled } });
  };
  const enter = async (model: BackendModel) => {
    // Refused as known, it was entered by a start that ended before its price was.
    await call(options, "/models", model, z.unknown());
    await call(options, "/prices", { model: model.id, ...prices[model.kind] }, z.unknown());
    await keep({ models: { ...kept.models, [model.id]: true } });
  };
  for (const model of options.models) {
    const isOffered = kept.models[model.id];
    if (isOffered === undefined) await enter(model);
    else if (!isOffered) await setOffered(model.id, true);
  }
  const served = new Set(options.models.map((model) => model.id));
  for (const [id, isOffered] of Object.entries(kept.models)) {
    if (isOffered && !served.has(id)) await setOffered(id, false);
  }
}

async function enterDeveloper(options: SeedOptions, { kept, keep }: Memory): Promise<string> {
  if (!kept.accountId) await keep({ accountId: await enterAccount(options), creditKey: randomUUID() });
  const { accountId, creditKey: idempotencyKey } = kept;
  if (!kept.hasCredit) {
    const amountMicro = String(signupCreditRupiah * BigInt(microPerRupiah));
    await call(options, "/credits", { accountId, kind: "signup_credit", amountMicro, reason: "signup", idempotencyKey }, z.unknown());
    await keep({ hasCredit: true });
  }
  if (!kept.apiKey) {
    const limits = { models: null, expiresAtMs: null, requestsPerMinute, tokensPerMinute };
    const wanted = { accountId, name: "development", scopes: [...scopes], ...limits };
    const { isNew, answer } = await call(options, "/keys", wanted, z.object({ key: z.string() }));
    if (!isNew) throw new Error("Cannot set up the stack: the developer's account is closed; use --fresh");
    await keep({ apiKey: answer.key });
  }
  return kept.apiKey!;
}

/** Another address where the first is taken: by a start that ended before it could keep the account's id. */
async function enterAccount(options: SeedOptions): Promise<string> {
  for (const email of [developerEmail, `developer-${randomUUID()}@example.com`]) {
    const { isNew, answer } = await call(options, "/accounts", { email, name: "Developer" }, z.object({ accountId: z.string() }));
    if (isNew) return answer.accountId;
  }
  throw new Error("Cannot set up the stack: it refuses a new account; use --fresh");
}

/** `isNew` is false when the admin function has it already (409). Any other refusal ends the start. */
async function call<Answer extends z.ZodType>(
  { adminUrl, operatorToken, signal }: SeedOptions,
  path: string,
  body: unknown,
  shape: Answer,
): Promise<{ isNew: true; answer: z.output<Answer> } | { isNew: false; answer?: undefined }> {
  const response = await request(`${adminUrl}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${operatorToken}` },
    body: JSON.stringify(body),
    signal,
  });
  const text = await response.body.text();
  if (response.statusCode === 409) return { isNew: false };
  if (response.statusCode >= 300) throw new Error(`Cannot set up the stack: admin answers ${response.statusCode} to ${path}`);
  return { isNew: true, answer: shape.parse(JSON.parse(text)) };
}

async function untilKnown({ url, models, signal }: SeedOptions, apiKey: string): Promise<void> {
  const deadline = performance.now() + knownTimeoutMs;
  for (;;) {
    const response = await request(`${url}/v1/models`, { headers: { authorization: `Bearer ${apiKey}` }, signal });
    const text = await response.body.text();
    if (response.statusCode === 200 && models.every((model) => text.includes(JSON.stringify(model.id)))) return;
    if (performance.now() > deadline) throw new Error(`Cannot reach the API: the proxy answers ${response.statusCode} or lacks models`);
    await delay(knownIntervalMs, undefined, { signal });
  }
}
