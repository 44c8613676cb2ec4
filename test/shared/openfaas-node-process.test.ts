import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { launch, type Launched } from "../support/child-process.ts";
import { waitFor } from "../support/wait.ts";

const main = fileURLToPath(new URL("../support/runtime-main.ts", import.meta.url));

/** Milliseconds for a start on a busy machine. */
const startTimeoutMs = 20_000;

const runtimes: [string, string[]][] = [
  ["Node", [process.execPath]],
  ["Deno", ["deno", "run", "--no-prompt", "--allow-net", "--allow-env", "--allow-read"]],
];

async function started(command: string[]): Promise<Launched & { url: string }> {
  const launched = launch([...command, main]);
  const port = await waitFor("the started line", () => /"at":"started","port":(\d+)/.exec(launched.output())?.[1], startTimeoutMs);
  return { ...launched, url: `http://127.0.0.1:${port}` };
}

describe.each(runtimes)("run() under %s", (_, command) => {
  test.each(["SIGTERM", "SIGINT"] as const)("ends with code 0 on %s, after the open stream", async (signal) => {
    const { url, child, output, code } = await started(command);
    const stream = (await fetch(`${url}/slow`)).body!.pipeThrough(new TextDecoderStream()).getReader();
    let received = (await stream.read()).value!;
    child.kill(signal);
    await waitFor("draining", () => output().includes('"at":"draining"'));
    expect((await fetch(`${url}/_/ready`)).status).toBe(503);
    for (let read = await stream.read(); !read.done; read = await stream.read()) received += read.value;
    expect(received).toMatch(/part 0\n[^]*part 9\n$/);
    expect(await code).toBe(0);
    expect(output()).toMatch(/"at":"draining"\}\n.*"at":"stopped","openRequests":0\}\n$/);
  });

  test.each([
    ["uncaught_exception", "/throw-later"],
    ["unhandled_rejection", "/reject-later"],
  ])("ends with code 1 and one line without the fault's text on %s (content.none)", async (kind, path) => {
    const { url, output, code } = await started(command);
    await fetch(`${url}${path}`).catch(() => {});
    expect(await code).toBe(1);
    const lines = output().trim().split("\n");
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[1]!)).toEqual({ time: expect.any(String), function: "test", at: "process_failed", kind });
  });

  test("survives a handler that throws, and prints nothing of it (content.none)", async () => {
    const { url, child, output, code } = await started(command);
    expect((await fetch(`${url}/throw`)).status).toBe(500);
    expect(await (await fetch(url, { method: "POST", body: "hallo" })).text()).toBe("hallo");
    child.kill("SIGTERM");
    expect(await code).toBe(0);
    expect(output()).toContain('"at":"handler_failed","kind":"unexpected"');
    expect(output()).not.toContain("canary");
  });

  test("refuses a body beyond its limit", async () => {
    const { url } = await started(command);
    const body = new Response("x".repeat(1_001)).body;
    expect((await fetch(url, { method: "POST", body, duplex: "half" } as RequestInit)).status).toBe(413);
  });

  test("prints the sentence of a problem at start, and ends with code 1", async () => {
    const { output, code } = launch([...command, main], { start_problem: "Cannot start: setting A is missing\nsecond line" });
    expect(await code).toBe(1);
    expect(output()).toBe("Cannot start: setting A is missing\n");
  });
});
