import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { afterEach, expect, test, vi } from "vitest";
import { startCron } from "#infra/local/cron.ts";
import { parseStackFile } from "#infra/local/stack-file.ts";
import { waitFor } from "../support/wait.ts";

afterEach(() => void vi.useRealTimers());

const stackWith = (schedule: string) =>
  parseStackFile(`
version: "1.0"
provider: { name: openfaas, gateway: "http://127.0.0.1:8080" }
configuration: { copy: [shared] }
functions:
  purge:
    lang: openfaas-node
    handler: ./functions/purge
    image: epithre/purge:0.1.0
    annotations: { topic: cron-function, schedule: "${schedule}" }
  proxy:
    lang: openfaas-node
    handler: ./functions/proxy
    image: epithre/proxy:0.1.0
    annotations: { topic: something-else, schedule: "${schedule}" }
`);

/** The schedule's own time is made to pass; sockets keep theirs. */
async function letPass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

async function startWith(answer: (call: IncomingMessage) => number | Promise<number>) {
  const calls: IncomingMessage[] = [];
  const server = createServer(async (incoming, response) => {
    calls.push(incoming);
    response.writeHead(await answer(incoming)).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: Date.UTC(2026, 0, 1, 0, 0, 30) });
  const outcomes: string[] = [];
  const schedule = startCron({
    stack: stackWith("* * * * *"),
    gatewayUrl: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    completed: (name, outcome) => outcomes.push(`${name} ${outcome}`),
  });
  return { calls, outcomes, schedule, close: () => (server.close(), server.closeAllConnections()) };
}

test("startCron() posts to the function's root when its time has come, with cron-connector's headers", async () => {
  const { calls, outcomes, schedule, close } = await startWith(() => 200);
  expect(schedule.names).toEqual(["purge"]);
  await letPass(29_000);
  expect(calls).toHaveLength(0);
  await letPass(2_000);
  vi.useRealTimers();
  await waitFor("the call", () => outcomes.length === 1);
  expect(calls[0]).toMatchObject({
    method: "POST",
    url: "/function/purge.openfaas-fn",
    headers: { "x-topic": "cron-function", "x-connector": "cron-connector" },
  });
  expect(calls[0]!.headers.authorization).toBeUndefined();
  expect(outcomes).toEqual(["purge answered"]);
  await schedule.stop();
  close();
});

test("startCron() counts a failed call and goes on; it never makes two of one function at once", async () => {
  const proceed = Promise.withResolvers<number>();
  const { calls, outcomes, schedule, close } = await startWith(() => proceed.promise);
  await letPass(31_000);
  vi.useRealTimers();
  await waitFor("the first call", () => calls.length === 1);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: Date.UTC(2026, 0, 1, 0, 1, 30) });
  await letPass(120_000);
  vi.useRealTimers();
  expect(calls).toHaveLength(1);
  proceed.resolve(500);
  await waitFor("its outcome", () => outcomes.length === 1);
  expect(outcomes).toEqual(["purge failed"]);
  await schedule.stop();
  close();
});

test("startCron() refuses a schedule that cron-connector would not take", () => {
  const options = { gatewayUrl: "http://127.0.0.1:1", completed: () => {} };
  for (const wrong of ["", "* * * * * *", "61 * * * *"]) {
    expect(() => startCron({ ...options, stack: stackWith(wrong) })).toThrow("Cannot read stack.yml: schedule of purge");
  }
});
