import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { afterEach, expect, test, vi } from "vitest";
import { startCron } from "#infra/local/cron.ts";
import { parseStackFile } from "#infra/local/stack-file.ts";

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

/** Calls the schedule makes, each with the means to answer it, in the order in which they came. */
async function start() {
  const calls: { incoming: IncomingMessage; answer(status: number): void }[] = [];
  const server = createServer((incoming, response) => {
    if (incoming.url === "/barrier") return void response.end();
    calls.push({ incoming, answer: (status) => response.writeHead(status).end() });
    server.emit("call");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const gatewayUrl = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: Date.UTC(2026, 0, 1, 0, 0, 30) });
  const outcomes: string[] = [];
  const schedule = startCron({
    stack: stackWith("* * * * *"),
    gatewayUrl,
    completed: (name, outcome) => (outcomes.push(`${name} ${outcome}`), server.emit("outcome")),
  });
  return {
    calls,
    outcomes,
    schedule,
    next: (event: "call" | "outcome") => once(server, event),
    /** A call that is on its way has come when these have been answered. */
    async settled() {
      for (let round = 0; round < 5; round += 1) await (await fetch(`${gatewayUrl}/barrier`)).text();
    },
    close: () => (server.close(), server.closeAllConnections()),
  };
}

test("startCron() posts to the function's root when its time has come, with cron-connector's headers", async () => {
  const { calls, outcomes, schedule, next, settled, close } = await start();
  expect(schedule.names).toEqual(["purge"]);
  await letPass(29_000);
  await settled();
  expect(calls).toHaveLength(0);
  const called = next("call");
  await letPass(2_000);
  await called;
  expect(calls[0]!.incoming).toMatchObject({
    method: "POST",
    url: "/function/purge.openfaas-fn",
    headers: { "x-topic": "cron-function", "x-connector": "cron-connector" },
  });
  expect(calls[0]!.incoming.headers.authorization).toBeUndefined();
  const counted = next("outcome");
  calls[0]!.answer(200);
  await counted;
  expect(outcomes).toEqual(["purge answered"]);
  await schedule.stop();
  close();
});

test("startCron() counts a failed call and goes on; it never makes two of one function at once", async () => {
  const { calls, outcomes, schedule, next, settled, close } = await start();
  const first = next("call");
  await letPass(31_000);
  await first;
  await letPass(120_000);
  await settled();
  expect(calls).toHaveLength(1);
  const counted = next("outcome");
  calls[0]!.answer(500);
  await counted;
  expect(outcomes).toEqual(["purge failed"]);
  const second = next("call");
  await letPass(60_000);
  await second;
  await schedule.stop();
  close();
});

test("startCron() refuses a schedule that cron-connector would not take", () => {
  const options = { gatewayUrl: "http://127.0.0.1:1", completed: () => {} };
  for (const wrong of ["", "* * * * * *", "61 * * * *"]) {
    expect(() => startCron({ ...options, stack: stackWith(wrong) })).toThrow("Cannot read stack.yml: schedule of purge");
  }
});
