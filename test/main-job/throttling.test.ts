/** An abuser is slowed down by itself, and nobody else; that ends by itself, or by an operator's word. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { throttle, throttleThresholds } from "../../functions/admin/abuse.ts";
import { newCustomer, settled, sharedStack, usageOf, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { chatBody, inParallel, send, type Outcome } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

let stack: Stack;
beforeAll(async () => {
  stack = sharedStack();
  await stack.engine.reset();
});
afterAll(() => stack.close());

/** More than a throttled account may make in a minute. */
const tooMany = throttle.requestsPerMinute + 10;

const call = (key: string, text = "hello") => send({ url: stack.url, key, body: chatBody(text, { max_tokens: 1 }) });
const calls = (keys: string[]) => inParallel(keys, 4, (key) => call(key));
const admitted = (outcomes: Outcome[]) => outcomes.filter(({ complete }) => complete).length;

async function ask(url: string, body: object, headers: Record<string, string> = {}): Promise<any> {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  expect(response.status).toBe(200);
  return response.json();
}

const operator = (path: string, body: object) => ask(stack.admin.url + path, body, { authorization: `Bearer ${stack.admin.token}` });

/** With a second key, and as many calls as it takes that the engine refuses. */
async function newAbuser(): Promise<Customer & { keys: string[] }> {
  const abuser = await newCustomer(stack);
  const { key } = await stack.operator.createKey(abuser.accountId);
  const outcomes = await inParallel(Array(throttleThresholds.callsMin).fill(abuser.key), 8, (each: string) => call(each, "[[simulate error=context]] x"));
  expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set([400]));
  await settled(stack);
  expect(await usageOf(stack, abuser.accountId)).toHaveLength(throttleThresholds.callsMin);
  return { ...abuser, keys: [abuser.key, key] };
}

/** As the schedule calls, which may do so itself meanwhile. */
async function throttleAbusers({ accountId, keyId, key }: Customer): Promise<void> {
  await ask(`${stack.url}/function/admin`, {});
  expect(await stack.sql`select from throttles where account_id = ${accountId}`).toHaveLength(1);
  await waitFor("the proxy to know", async () => {
    await call(key);
    return (await stack.sql`select from key_rates where key_id = ${keyId} and unit = 'throttle'`).length > 0;
  });
}

it("an abuser makes few requests a minute with all keys together, and others as many as before (use.usage)", async () => {
  const bystander = await newCustomer(stack);
  const abuser = await newAbuser();
  expect(admitted(await calls(Array(tooMany).fill(abuser.key)))).toBe(tooMany);
  await throttleAbusers(abuser);

  const outcomes = await calls(Array(tooMany).fill(abuser.keys).flat());
  expect(admitted(outcomes)).toBeLessThanOrEqual(throttle.requestsPerMinute);
  const refused = outcomes.filter(({ complete }) => !complete);
  expect(new Set(refused.map(({ status, errorCode }) => `${status} ${errorCode}`))).toEqual(new Set(["429 rate_limit_exceeded"]));
  for (const { retryAfter } of refused) expect([Number(retryAfter) > 0, Number(retryAfter) <= 61]).toEqual([true, true]);
  expect(admitted(await calls(Array(tooMany).fill(bystander.key)))).toBe(tooMany);

  const { throttles } = await operator("/abuse", {});
  const mine = throttles.filter(({ accountId }: { accountId: string }) => accountId === abuser.accountId);
  expect(mine).toMatchObject([{ signal: "errors", requestsPerMinute: throttle.requestsPerMinute, lifted: false }]);
  await operator("/abuse/lift", { accountId: abuser.accountId });
  await waitFor("the throttle to be lifted", async () => (await call(abuser.key)).complete);
  expect(admitted(await calls(Array(tooMany).fill(abuser.keys).flat()))).toBe(2 * tooMany);
}, 120_000);

it("a throttle is over at the time that it names, without anybody's word", async () => {
  const abuser = await newAbuser();
  await throttleAbusers(abuser);
  expect(admitted(await calls(Array(tooMany).fill(abuser.key)))).toBeLessThan(tooMany);
  const [row] = await stack.sql<{ endsAtMs: number }[]>`
    with shortened as (
      update throttles set ends_at = clock_timestamp() + interval '3 seconds' where account_id = ${abuser.accountId} returning ends_at
    ), told as (update accounts set status = status where id = ${abuser.accountId})
    select (extract(epoch from ends_at) * 1000)::float8 as "endsAtMs" from shortened
  `;
  await waitFor("the end of the throttle", async () => (await call(abuser.key)).complete);
  const [now] = await stack.sql<{ ms: number }[]>`select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`;
  expect(now!.ms).toBeGreaterThanOrEqual(row!.endsAtMs);
  expect(admitted(await calls(Array(tooMany).fill(abuser.key)))).toBe(tooMany);
}, 120_000);
