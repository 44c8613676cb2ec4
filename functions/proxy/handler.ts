/** The story of a request: who calls, what it can cost, money set aside, forwarded, settled. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "#shared/clock.ts";
import { EpithreError } from "#shared/errors.ts";
import { uuidv7 } from "#shared/ids.ts";
import { priceInForce } from "#shared/pricing.ts";
import type { Verdict } from "../key-auth/schema.ts";
import type { Backends } from "./backends.ts";
import { readBody, type BodyBudget } from "./body.ts";
import { admit, bodyFor, clamp, costMicro, likelyTokens, type Call, type Usage } from "./call.ts";
import { forward } from "./forward.ts";
import { idempotencyKeyIn, type Claim, type Claims } from "./idempotency.ts";
import type { Inspection } from "./inspection.ts";
import type { Inspector } from "./inspector.ts";
import type { Hold, Leases } from "./leases.ts";
import { listModels, oneModel, ownKey, type Balance } from "./listings.ts";
import type { ProxyMetrics } from "./metrics.ts";
import type { PriceBook } from "./price-book.ts";
import type { RateLimits, TokensTaken } from "./rate-limits.ts";
import { refuseRetired, withRetirement } from "./retirement.ts";
import { sendError, sendJson, sendPreflight, type FlatHeaders } from "./responses.ts";
import { routeOf, type Endpoint, type Route } from "./routes.ts";
import type { RunningCalls } from "./running-calls.ts";
import type { Settlements } from "./settlements.ts";
import type { Verdicts } from "./verdicts.ts";

export interface Deps {
  verdicts: Verdicts;
  priceBook: PriceBook;
  rateLimits: RateLimits;
  bodies: BodyBudget;
  inspector: Inspector;
  leases: Leases;
  backends: Backends;
  settlements: Settlements;
  claimOf: Claims;
  runningCalls: RunningCalls;
  /** `keyId` where the key has a monthly budget. */
  balanceOf(accountId: string, keyId?: string): Promise<Balance>;
  metrics: ProxyMetrics;
  /** Follows the database's clock: request ids decide which usage slice an event goes to. */
  clock: Clock;
  cacheSaltOf(accountId: string): string;
  streamLimitMs: number;
}

/** Milliseconds that a verdict counts for a request that is still being read. */
const verdictAgeMsMax = 250;
/** Milliseconds that a caller may take nothing of what waits for it. */
const stallTimeoutMs = 60_000;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** What belongs to one request from its first byte on. */
interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  requestId: string;
  startedAtMs: number;
  /** Rate-limit headers, once the limits are known; built when an answer needs them. */
  headers(): FlatHeaders;
}

const noHeaders = (): FlatHeaders => [];

export function createHandler(deps: Deps): Handler {
  const { clock } = deps;
  return function proxy(request, response) {
    // A caller that left makes writes fail: that is noticed by "close", and no fault of ours.
    response.on("error", () => {});
    request.socket.setTimeout(stallTimeoutMs);
    response.on("timeout", () => {
      if (response.writableLength > 0) response.destroy();
    });
    const requestId = uuidv7(clock.wallMs());
    const exchange: Exchange = { request, response, requestId, startedAtMs: clock.monotonicMs(), headers: noHeaders };
    if (request.method === "OPTIONS") {
      sendPreflight(response, requestId);
      return;
    }
    void answer(deps, exchange);
  };
}

async function answer(deps: Deps, exchange: Exchange): Promise<void> {
  const { request, response, requestId } = exchange;
  try {
    const route = routeOf(request.method ?? "", request.url ?? "");
    const verdict = await deps.verdicts.of(request.headers.authorization);
    if (route.to === "inference") await infer(deps, exchange, verdict, route.endpoint);
    else sendJson(response, requestId, await look(deps, verdict, route));
  } catch (thrown) {
    sendError(request, response, requestId, thrown, exchange.headers());
  } finally {
    deps.metrics.answered(response.statusCode);
  }
}

async function look(deps: Deps, verdict: Verdict, route: Exclude<Route, { to: "inference" }>): Promise<string> {
  const { priceBook, clock, balanceOf } = deps;
  if (route.to === "key") return ownKey(verdict, await balanceOf(verdict.accountId, budgetedKey(verdict)));
  return route.to === "models"
    ? listModels(priceBook.models(), verdict, clock.wallMs())
    : oneModel(priceBook.model(route.id), verdict, clock.wallMs());
}

async function infer(deps: Deps, exchange: Exchange, verdict: Verdict, endpoint: Endpoint): Promise<void> {
  const { rateLimits, bodies, inspector, settlements, leases } = deps;
  const { request, response } = exchange;
  requireScope(verdict, endpoint);
  const idempotencyKey = idempotencyKeyIn(request.headers);
  const isClampable = clampAsked(request);
  await rateLimits.takeRequest(verdict);
  exchange.headers = () => rateLimits.headersOf(verdict);
  settlements.checkRoom();
  const held = await readBody(request, endpoint, bodies, verdict.accountId);
  try {
    const contentType = request.headers["content-type"] ?? "";
    const { bytes, inspection } = await inspector.inspect(endpoint, held.bytes, contentType);
    const model = allowedModel(deps.priceBook.model(inspection.model), verdict, endpoint);
    const nowMs = deps.clock.wallMs();
    refuseRetired(model, nowMs);
    const price = priceInForce(model.prices, nowMs);
    if (!price) throw new EpithreError("model_not_found", "Cannot use this model yet: it has no price in force", { param: "model" });
    const admitted = admit(endpoint, model, price, inspection);
    if (deps.clock.monotonicMs() - exchange.startedAtMs > verdictAgeMsMax) await checkAgain(deps, exchange);
    const tokens = await rateLimits.takeTokens(verdict, likelyTokens(admitted));
    try {
      let headers = withRetirement(rateLimits.headersOf(verdict), model);
      exchange.headers = () => headers;
      let call = admitted;
      const fit = isClampable
        ? (spareMicro: number) => {
            const smaller = clamp(admitted, spareMicro);
            if (smaller) call = smaller;
            return smaller?.holdMicro;
          }
        : undefined;
      const take = () => leases.take(verdict.accountId, admitted.holdMicro, budgetedKey(verdict), fit);
      const claim = idempotencyKey === undefined ? undefined : claimFor(deps, exchange, verdict, admitted, idempotencyKey);
      const hold = claim ? await claim.hold(take) : await take();
      if (call !== admitted) headers = [...headers, "x-epithre-clamped-max-tokens", String(call.outputLimit)];
      const abandon = () => {
        hold.release(0);
        claim?.release();
      };
      if (response.destroyed) abandon();
      else await run(deps, exchange, verdict, call, { hold, tokens, abandon }, { bytes, contentType: forwardedType(endpoint, inspection) });
    } finally {
      tokens.release(0);
    }
  } finally {
    held.release();
  }
}

/** The caller opted in: where the account cannot pay for the worst case, the output limit is lowered until it can. */
function clampAsked(request: IncomingMessage): boolean {
  const asked = request.headers["x-epithre-clamp"];
  if (asked === undefined || asked === "false") return false;
  if (asked === "true") return true;
  throw new EpithreError("invalid_request", "Cannot use header x-epithre-clamp: send true, or leave it out");
}

/** The key, where its calls are paid out of a lease of its own. */
function budgetedKey({ keyId, monthlyBudgetMicro }: Verdict): string | undefined {
  return monthlyBudgetMicro === null ? undefined : keyId;
}

/** What was set aside for a call, until its use is known. */
interface SetAside {
  hold: Hold;
  tokens: TokensTaken;
  /** The call did not run: nothing of it stays. */
  abandon(): void;
}

interface Body {
  bytes: Buffer;
  contentType: string;
}

/** Our own words for the type: of a header with several boundaries, the engine might read another than we did. */
function forwardedType({ body }: Endpoint, { boundary }: Inspection): string {
  return body === "json" ? "application/json" : `multipart/form-data; boundary="${boundary}"`;
}

/** A body can be two minutes on its way: whoever was suspended or revoked meanwhile does not begin. */
async function checkAgain({ verdicts }: Deps, { request }: Exchange): Promise<void> {
  await verdicts.of(request.headers.authorization);
}

function claimFor({ claimOf }: Deps, { requestId }: Exchange, verdict: Verdict, call: Call, idempotencyKey: string): Claim {
  const { accountId, keyId } = verdict;
  const { model, endpoint, price } = call;
  return claimOf({ requestId, accountId, keyId, model: model.id, endpoint: endpoint.name, priceVersion: price.version }, idempotencyKey);
}

function run(deps: Deps, exchange: Exchange, verdict: Verdict, call: Call, aside: SetAside, body: Body): Promise<void> {
  const { metrics, runningCalls } = deps;
  const { request, response, requestId } = exchange;
  const { accountId } = verdict;
  return forward(
    { backends: deps.backends, streamLimitMs: deps.streamLimitMs, onUsageSource: metrics.usageRead },
    {
      request,
      response,
      requestId,
      call,
      headers: exchange.headers(),
      contentType: body.contentType,
      bodyFor: (backend) => bodyFor(call, body.bytes, backend.type, deps.cacheSaltOf(accountId)),
      settle: (usage, status, price) => settle(deps, exchange, verdict, call, aside, usage, status, price),
      abandon: aside.abandon,
      onCut: (cut) => runningCalls.add(accountId, cut),
    },
  );
}

function settle(
  { settlements, clock, metrics }: Deps,
  { requestId, startedAtMs }: Exchange,
  verdict: Verdict,
  call: Call,
  { hold, tokens }: SetAside,
  usage: Usage,
  status: number,
  price = call.price,
): Promise<number> {
  tokens.release(usage.promptTokens + usage.completionTokens);
  metrics.used(call.model.id, usage);
  return settlements.settle(
    {
      requestId,
      accountId: verdict.accountId,
      keyId: verdict.keyId,
      leaseId: hold.leaseId,
      model: call.model.id,
      endpoint: call.endpoint.name,
      priceVersion: price.version,
      ...usage,
      costMicro: costMicro(call, usage, price),
      latencyMs: Math.round(clock.monotonicMs() - startedAtMs),
      status,
    },
    hold,
  );
}

function requireScope(verdict: Verdict, { scope }: Endpoint): void {
  if (verdict.scopes.includes(scope)) return;
  throw new EpithreError("missing_scope", `Cannot use this endpoint: the key lacks the scope ${scope}. Make a key that has it.`);
}

function allowedModel(model: Call["model"], { models }: Verdict, endpoint: Endpoint): Call["model"] {
  if (models && !models.includes(model.id)) {
    throw new EpithreError("model_not_allowed", "Cannot use this model: the key's list of models does not have it", { param: "model" });
  }
  if (model.kind !== endpoint.kind) {
    throw new EpithreError("invalid_request", `Cannot use this model here: this endpoint takes ${endpoint.kind} models`, { param: "model" });
  }
  return model;
}
