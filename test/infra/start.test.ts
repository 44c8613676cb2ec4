/** `npm start` as a person runs it: what it says, what it leaves, what the next one finds. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { startSimulatedBackend } from "#infra/local/simulated-backend/backend.ts";
import { stack } from "../support/function-life.ts";
import type { ReadyLine } from "../support/stack.ts";
import { waitFor } from "../support/wait.ts";

const script = fileURLToPath(new URL("../../infra/local/start.ts", import.meta.url));

/** Milliseconds for a start on a machine that runs other tests too. */
const startTimeoutMs = 120_000;

const folder = mkdtempSync(join(tmpdir(), "epithre-start-"));
// As root, Postgres's account must be able to pass through, or its data would lie outside and stay.
chmodSync(folder, 0o711);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
  child: ChildProcess;
  /** Exit code, or the signal that ended it. */
  ended: Promise<number | string>;
  out(): string;
  err(): string;
}

const runs: Run[] = [];
afterEach(async () => {
  for (const { child, ended } of runs.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGINT");
    await ended;
  }
});

function start(...words: string[]): Run {
  const child = spawn(process.execPath, [script, ...words], { stdio: ["ignore", "pipe", "pipe"] });
  const printed = { out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (printed.out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (printed.err += text));
  const ended = once(child, "close").then(([code, signal]) => (code ?? signal) as number | string);
  const run = { child, ended, out: () => printed.out, err: () => printed.err };
  runs.push(run);
  return run;
}

async function startReady(dataDir: string, ...words: string[]): Promise<Run & { ready: ReadyLine }> {
  const run = start("--json", "--port", "0", "--data", dataDir, ...words);
  await waitFor("the stack to be ready", () => run.out().includes("\n") || run.child.exitCode !== null, startTimeoutMs);
  if (!run.out()) throw new Error(`The stack did not start: ${run.err()}`);
  return { ...run, ready: JSON.parse(run.out()) as ReadyLine };
}

/** What runs in the stack's folders, Postgres among it. */
function left(dataDir: string): string[] {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && workingDirectory(pid).startsWith(`${dataDir}/`));
}

function workingDirectory(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

async function ask({ url, apiKey }: ReadyLine, model = "simulated-chat"): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }], max_tokens: 8 }),
  });
}

async function balance({ admin, dataDir }: ReadyLine): Promise<bigint> {
  const { accountId } = JSON.parse(readFileSync(join(dataDir, "development-account.json"), "utf8")) as { accountId: string };
  const response = await fetch(`${admin.url}/balance`, {
    method: "POST",
    headers: { authorization: `Bearer ${admin.token}`, "content-type": "application/json" },
    body: JSON.stringify({ accountId }),
  });
  return BigInt(((await response.json()) as { balanceMicro: string }).balanceMicro);
}

describe("npm start, when something is in the way, says so in one sentence", () => {
  async function expectSentence(run: Run, sentence: RegExp): Promise<void> {
    expect(await run.ended).toBe(1);
    expect(run.err().trim()).toMatch(sentence);
    expect(run.err().trim().split("\n")).toHaveLength(1);
    expect(run.err()).not.toMatch(/\.ts:\d|node:internal/);
  }

  test("wrong option", () => expectSentence(start("--prot", "80"), /^Cannot start: unknown option '--prot'; /));

  test("port in use, before the database is made", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    const dataDir = join(folder, "port");
    await expectSentence(start("--port", String(port), "--data", dataDir), new RegExp(`^Cannot listen on port ${port}: another program uses it`));
    expect(existsSync(join(dataDir, "postgres"))).toBe(false);
    other.close();
  });

  test("a file where the data folder should be", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "mine");
    await expectSentence(start("--data", file, "--fresh"), /^Cannot use .*: it is a file; give --data a folder$/);
    expect(readFileSync(file, "utf8")).toBe("mine");
  });

  test("an engine that does not answer", () =>
    expectSentence(
      start("--port", "0", "--data", join(folder, "engine"), "--backend", "http://127.0.0.1:9"),
      /^Cannot use backend http:\/\/127\.0\.0\.1:9\/: it does not list its models; /,
    ));
});

test("npm start -- --help explains the options and starts nothing", async () => {
  const run = start("--help");
  expect(await run.ended).toBe(0);
  expect(run.out()).toContain("--backend URL");
});

describe("npm start", { timeout: 2 * startTimeoutMs }, () => {
  const dataDir = join(folder, "stack");
  let apiKey: string;

  test("brings everything up, says so in one line, and is silent after that", async () => {
    const run = await startReady(dataDir);
    const { ready } = run;
    apiKey = ready.apiKey;
    const names = ["accounts", "admin", "audit-seal", "billing", "dashboard", "export", "key-auth", "notify", "policy", "proxy", "purge", "reconcile", "usage-record"];
    expect(Object.keys(ready.pids).sort()).toEqual(names);
    expect(await balance(ready)).toBe(100_000_000_000n);

    const answer = await ask(ready);
    expect(answer.status).toBe(200);
    const { usage } = (await answer.json()) as { usage: { cost_micro_rupiah: number } };
    expect(100_000_000_000n - (await balance(ready))).toBe(BigInt(usage.cost_micro_rupiah));
    expect((await fetch(ready.dashboardUrl)).status).toBe(200);
    // All of it, as the status page finds it.
    expect(await (await fetch(`${ready.url}/status.json`)).json()).toMatchObject({ state: "up", database: "up", engines: { up: 1, all: 1 } });
    expect((await fetch(`${ready.url}/policy?lang=id`)).headers.get("content-language")).toBe("id");
    const login = Buffer.from(`${ready.admin.user}:${ready.admin.password}`).toString("base64");
    const listed = await fetch(`${ready.url}/system/functions`, { headers: { authorization: `Basic ${login}` } });
    expect(await listed.json()).toHaveLength(names.length);

    // Ctrl-C comes twice: from the terminal, and passed on by npm.
    run.child.kill("SIGINT");
    setTimeout(() => run.child.kill("SIGINT"), 20);
    expect(await run.ended).toBe(0);
    expect(run.out().trim().split("\n")).toHaveLength(1);
    expect(run.err()).toBe("");
    expect(left(dataDir)).toEqual([]);
  });

  test("runs each function with nothing of our environment, its own secrets, and a closed file system", async () => {
    process.env.EPITHRE_TEST_LEAK = "leak";
    const { ready } = await startReady(dataDir);
    delete process.env.EPITHRE_TEST_LEAK;
    const definition = stack.functions.billing!;
    const environment = readFileSync(`/proc/${ready.pids.billing}/environ`, "utf8").split("\0").filter(Boolean);
    expect(environment.map((pair) => pair.split("=")[0]).sort()).toEqual(
      ["PORT", "PWD", "listen_address", "secret_mount_path", ...Object.keys(definition.environment)].sort(),
    );
    expect(readFileSync(`/proc/${ready.pids.billing}/cmdline`, "utf8")).toContain("--permission");
    const mounted = join(ready.dataDir, "processes/billing/secrets");
    expect(readdirSync(mounted).sort()).toEqual([...definition.secrets].sort());
    expect(statSync(join(mounted, "database-billing")).mode & 0o777).toBe(0o600);
  });

  test("names the stack that uses the folder already", async () => {
    const { ready } = await startReady(dataDir);
    const second = start("--port", "0", "--data", dataDir);
    expect(await second.ended).toBe(1);
    expect(second.err()).toMatch(/another stack is running on it \(process \d+, http:\/\/127\.0\.0\.1:\d+\)/);
    expect((await ask(ready)).status).toBe(200);
  });

  test("leaves nothing behind when it is killed, and the next one finds the data", async () => {
    const killed = await startReady(dataDir);
    const before = await balance(killed.ready);
    killed.child.kill("SIGKILL");
    const next = await startReady(dataDir);
    expect(next.ready.apiKey).toBe(apiKey);
    expect(await balance(next.ready)).toBe(before);
    expect((await ask(next.ready)).status).toBe(200);
    const former = new Set(Object.values(killed.ready.pids));
    expect(Object.values(next.ready.pids).filter((pid) => former.has(pid))).toEqual([]);
    next.child.kill("SIGINT");
    await next.ended;
    expect(left(dataDir)).toEqual([]);
  });

  test("starts functions and Postgres again that were killed, and answers again by itself", async () => {
    const { ready } = await startReady(dataDir);
    const postmaster = Number.parseInt(readFileSync(join(ready.dataDir, "postgres/data/postmaster.pid"), "utf8"), 10);
    for (const pid of [ready.pids.proxy!, ready.pids["usage-record"]!, postmaster]) process.kill(pid, "SIGKILL");
    await waitFor("an answer", async () => (await ask(ready)).status === 200, startTimeoutMs);
  });

  test("goes on where a start was killed that had not kept what it entered", async () => {
    const kept = join(dataDir, "development-account.json");
    const before = readFileSync(kept, "utf8");
    rmSync(kept);
    const { ready, child, ended } = await startReady(dataDir);
    expect(ready.apiKey).not.toBe(apiKey);
    expect((await ask(ready)).status).toBe(200);
    child.kill("SIGINT");
    await ended;
    writeFileSync(kept, before);
  });

  test("stops in order while it is still starting", async () => {
    const run = start("--port", "0", "--data", dataDir);
    await waitFor("its first step", () => run.out().includes("database"));
    run.child.kill("SIGINT");
    expect(await run.ended).toBe(0);
    expect(run.err()).toBe("");
    expect(left(dataDir)).toEqual([]);
  });

  test("keeps the data when a start with --fresh cannot be", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    expect(await start("--fresh", "--port", String(port), "--data", dataDir).ended).toBe(1);
    other.close();
    expect((await startReady(dataDir)).ready.apiKey).toBe(apiKey);
  });

  test("starts empty with --fresh, and leaves files that are not its own", async () => {
    writeFileSync(join(dataDir, "notes.txt"), "mine");
    const { ready } = await startReady(dataDir, "--fresh");
    expect(ready.apiKey).not.toBe(apiKey);
    expect(await balance(ready)).toBe(100_000_000_000n);
    expect(readFileSync(join(dataDir, "notes.txt"), "utf8")).toBe("mine");
  });

  test("uses the engine of --backend instead of the simulated one, with the models that it lists", async () => {
    const engine = await startSimulatedBackend({ port: 0 });
    const { ready } = await startReady(dataDir, "--backend", `http://127.0.0.1:${engine.port}/v1`);
    const models = (await (await fetch(`${ready.url}/v1/models`, { headers: { authorization: `Bearer ${ready.apiKey}` } })).json()) as {
      data: { id: string }[];
    };
    expect(models.data.map((model) => model.id)).toContain("simulated-chat");
    expect((await ask(ready)).status).toBe(200);
    expect(left(dataDir).some((pid) => workingDirectory(pid).endsWith("/simulated-backend"))).toBe(false);
    await engine.close();
  });
});
