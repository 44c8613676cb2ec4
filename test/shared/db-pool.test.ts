import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { processesIn } from "#infra/local/postgres-processes.ts";
import { removePostgres, type RunningPostgres, startPostgres } from "#infra/local/postgres.ts";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import type { LogLine } from "#shared/log.ts";

/** Milliseconds within which callers of key-auth, billing and usage-record must have an answer; they wait for 2,500. */
const answerMsMax = 2_400;

let folder: string;
let server: RunningPostgres;
let pool: DatabasePool;
let lines: LogLine[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "epithre-pool-"));
  chmodSync(folder, 0o711);
  server = await startPostgres({ dataDir: folder });
});

afterAll(async () => {
  await server.stop();
  await removePostgres(folder);
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(() => {
  lines = [];
  pool = createDatabasePool({ url: server.url, log: (line) => lines.push(line) });
});

afterEach(() => pool.close());

const one = () => pool.run(async (sql) => (await sql<{ one: number }[]>`select 1 as one`)[0]!.one);

async function timed<T>(work: Promise<T>): Promise<{ answer: T | unknown; tookMs: number }> {
  const startMs = performance.now();
  const answer = await work.catch((thrown: unknown) => thrown);
  return { answer, tookMs: performance.now() - startMs };
}

function expectUnavailable(answer: unknown): void {
  expect(answer).toBeInstanceOf(EpithreError);
  expect(answer).toMatchObject({ kind: "unavailable", status: 503, detail: { retryAfterS: 1 } });
}

/** Some of a server's processes end by themselves between the look and the signal. */
function signalServer(name: NodeJS.Signals): void {
  for (const pid of processesIn(server.dataDirectory)) {
    try {
      process.kill(pid, name);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ESRCH") throw thrown;
    }
  }
}

describe("createDatabasePool()", () => {
  test("refuses at once while Postgres is down, answers again as soon as it is back, and says so twice", async () => {
    expect(await one()).toBe(1);
    const { port } = server;
    process.kill(server.pid, "SIGKILL");
    await server.exited;
    for (let call = 0; call < 20; call += 1) {
      const { answer, tookMs } = await timed(one());
      expectUnavailable(answer);
      expect(tookMs).toBeLessThan(answerMsMax);
    }
    server = await startPostgres({ dataDir: folder, port });
    const { tookMs } = await timed(expect.poll(() => one().catch(() => 0), { interval: 10 }).toBe(1));
    expect(tookMs).toBeLessThan(2_000);
    expect(lines.map(({ at }) => at)).toEqual(["database_away", "database_back"]);
  });

  test("breaks off calls that are under way when Postgres is killed", async () => {
    const { port } = server;
    await one();
    const calls = Array.from({ length: 4 }, () => timed(pool.run((sql) => sql`select pg_sleep(1)`)));
    await delay(50);
    process.kill(server.pid, "SIGKILL");
    signalServer("SIGKILL");
    for (const { answer } of await Promise.all(calls)) expectUnavailable(answer);
    await server.exited;
    server = await startPostgres({ dataDir: folder, port });
    expect(await one()).toBe(1);
  });

  test("survives a kill at every moment of connecting", async () => {
    const { port } = server;
    for (let afterMs = 0; afterMs < 12; afterMs += 1) {
      const fresh = createDatabasePool({ url: server.url, log: () => {} });
      const calls = Array.from({ length: 4 }, () => timed(fresh.run((sql) => sql`select 1`)));
      await delay(afterMs);
      signalServer("SIGKILL");
      for (const { tookMs } of await Promise.all(calls)) expect(tookMs).toBeLessThan(answerMsMax);
      await server.exited;
      server = await startPostgres({ dataDir: folder, port });
      const { tookMs } = await timed(expect.poll(() => fresh.run(async (sql) => (await sql`select 1`).length).catch(() => 0), { interval: 10 }).toBe(1));
      expect(tookMs).toBeLessThan(2_000);
      await fresh.close();
    }
  });

  test("answers in time while Postgres is frozen, keeps nothing waiting, and recovers when it thaws", async () => {
    await one();
    signalServer("SIGSTOP");
    try {
      for (let round = 0; round < 2; round += 1) {
        const calls = await Promise.all(Array.from({ length: 40 }, () => timed(one())));
        for (const { answer, tookMs } of calls) {
          expectUnavailable(answer);
          expect(tookMs).toBeLessThan(answerMsMax);
        }
      }
    } finally {
      signalServer("SIGCONT");
    }
    const { tookMs } = await timed(expect.poll(() => one().catch(() => 0), { interval: 10, timeout: 5_000 }).toBe(1));
    expect(tookMs).toBeLessThan(2_000);
  });

  test("answers in time when the address swallows connections", async () => {
    const sockets: { destroy(): void }[] = [];
    const hole = createServer((socket) => sockets.push(socket.on("error", () => {})));
    const port = await new Promise<number>((settle) => {
      hole.listen(0, "127.0.0.1", () => settle((hole.address() as { port: number }).port));
    });
    const lost = createDatabasePool({ url: server.url.replace(`:${server.port}/`, `:${port}/`), log: () => {} });
    const { answer, tookMs } = await timed(lost.run((sql) => sql`select 1`));
    expectUnavailable(answer);
    expect(tookMs).toBeLessThan(answerMsMax);
    for (const socket of sockets) socket.destroy();
    await lost.close();
    await new Promise((settle) => hole.close(settle));
  });

  test("ends a statement that takes too long, in the database too", async () => {
    const { answer, tookMs } = await timed(pool.run((sql) => sql`select pg_sleep(60)`));
    expectUnavailable(answer);
    expect(tookMs).toBeLessThan(answerMsMax);
    const running = await pool.run((sql) => sql`select from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()`);
    expect(running).toHaveLength(0);
  });

  test("refuses callers for whom no connection is free in time, and serves the others", async () => {
    const slow = Array.from({ length: 4 }, () => timed(pool.run((sql) => sql`select pg_sleep(0.8)`)));
    const { answer, tookMs } = await timed(one());
    expectUnavailable(answer);
    expect(tookMs).toBeLessThan(2_000);
    for (const { answer: served } of await Promise.all(slow)) expect(served).not.toBeInstanceOf(Error);
    expect(await one()).toBe(1);
  });

  test("makes a call again that was rolled back for another's sake, and gives up in time", async () => {
    let tries = 0;
    const rollBack = (times: number) =>
      pool.run(async (sql) => {
        tries += 1;
        if (tries <= times) await sql`do $$ begin raise exception 'x' using errcode = '40P01'; end $$`;
        return "done";
      });
    expect(await rollBack(3)).toBe("done");
    expect(tries).toBe(4);
    const { answer, tookMs } = await timed(rollBack(Number.POSITIVE_INFINITY));
    expect(answer).toMatchObject({ code: "40P01" });
    expect(tookMs).toBeLessThan(answerMsMax);
  });

  test("passes on what is wrong with a query itself, and logs its SQLSTATE only", async () => {
    const { answer } = await timed(pool.run((sql) => sql`select 'canary-of-pool'::text::uuid`));
    expect(answer).toMatchObject({ code: "22P02" });
    const fault = new TypeError("a fault of ours");
    expect((await timed(pool.run(() => Promise.reject(fault)))).answer).toBe(fault);
    expect(lines).toEqual([{ at: "handler_failed", kind: "database", sqlState: "22P02" }]);
  });
});
