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

/** Rupiah that a new account starts with. */
const signupCreditRupiah = 100_000n;

/** Far above what one machine can serve, so that a load test meets no limit but the machine's. */
const requestsPerMinute = 1_000_000;
const tokensPerMinute = 1_000_000_000;

/** Example prices: micro-rupiah for each token is rupiah for a million of them; an image costs 250 rupiah. */
const prices = {
  chat: { inputMicro: 5_000, cachedInputMicro: 1_250, outputMicro: 20_000, imageMicro: 0 },
  embedding: { inputMicro: 300, cachedInputMicro: 300, outputMicro: 0, imageMicro: 0 },
  image: { inputMicro: 5_000, cachedInputMicro: 5_000, outputMicro: 0, imageMicro: 250 * microPerRupiah },
} as const;

/** Milliseconds until the proxy must know what was entered: it polls keys and prices at least once a second. */
const knownTimeoutMs = 15_000;
const knownIntervalMs = 50;

/** What is kept of the developer's account. The key is here in the clear: this is a development stack. */
const Kept = z.object({
  accountId: z.string().optional(),
  creditKey: z.string().optional(),
  hasCredit: z.boolean().optional(),
  apiKey: z.string().optional(),
});

/** Answers the developer's API key, once the proxy takes it and serves the models. */
export async function seed(options: SeedOptions): Promise<string> {
  for (const model of options.models) await enterModel(options, model);
  const apiKey = await enterDeveloper(options);
  await untilKnown(options, apiKey);
  return apiKey;
}

async function enterModel(options: SeedOptions, model: BackendModel): Promise<void> {
  const { isNew } = await call(options, "/models", model, z.unknown());
  if (isNew) await call(options, "/prices", { model: model.id, ...prices[model.kind] }, z.unknown());
}

async function enterDeveloper(options: SeedOptions): Promise<string> {
  const file = join(options.dataDir, "development-account.json");
  const kept = existsSync(file) ? Kept.parse(JSON.parse(await readFile(file, "utf8"))) : {};
  const keep = (more: z.output<typeof Kept>) => writePrivateFile(file, JSON.stringify(Object.assign(kept, more)));

  if (!kept.accountId) {
    const person = { email: "developer@example.com", name: "Developer" };
    const { isNew, answer } = await call(options, "/accounts", person, z.object({ accountId: z.string() }));
    if (!isNew) throw new Error(`Cannot find the developer's account: ${file} is missing but the account exists; use --fresh`);
    await keep({ accountId: answer!.accountId, creditKey: randomUUID() });
  }
  const { accountId, creditKey: idempotencyKey } = kept;
  if (!kept.hasCredit) {
    const amountMicro = String(signupCreditRupiah * BigInt(microPerRupiah));
    await call(options, "/credits", { accountId, kind: "signup_credit", amountMicro, reason: "signup", idempotencyKey }, z.unknown());
    await keep({ hasCredit: true });
  }
  if (!kept.apiKey) {
    const limits = { models: null, expiresAtMs: null, requestsPerMinute, tokensPerMinute };
    const wanted = { accountId, name: "development", scopes: [...scopes], ...limits };
    const { answer } = await call(options, "/keys", wanted, z.object({ key: z.string() }));
    await keep({ apiKey: answer!.key });
  }
  return kept.apiKey!;
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
