import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { removePostgres, type RunningPostgres, startPostgres } from "#infra/local/postgres.ts";
import { processesIn } from "#infra/local/postgres-processes.ts";

const asRoot = process.getuid?.() === 0;

let parent: string;
let dataDir: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "epithre-postgres-"));
  chmodSync(parent, 0o711);
  dataDir = join(parent, "data");
});

afterEach(async () => {
  chmodSync(parent, 0o700);
  await removePostgres(dataDir);
  rmSync(parent, { recursive: true, force: true });
});

async function query(server: RunningPostgres, text: string): Promise<postgres.Row[]> {
  const sql = postgres(server.url, { max: 1, onnotice: () => {} });
  try {
    return await sql.unsafe(text);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function ended(pid: number): Promise<void> {
  await expect.poll(() => existsSync(`/proc/${pid}/exe`) && !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z"), {
    timeout: 20_000,
  }).toBe(false);
}

/** A process of its own that runs Postgres for `dataDir`, as the stack does. */
async function startElsewhere(): Promise<{ stack: ChildProcess; pid: number; port: number }> {
  const script = join(parent, "stack.mts");
  const module = new URL("../../infra/local/postgres.ts", import.meta.url);
  writeFileSync(script, `
    import { startPostgres } from ${JSON.stringify(module.href)};
    const { pid, port } = await startPostgres({ dataDir: ${JSON.stringify(dataDir)} });
    process.stdout.write(JSON.stringify({ pid, port }));
  `);
  const stack = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise<string>((settle, refuse) => {
    stack.stdout!.setEncoding("utf8").once("data", settle);
    stack.once("exit", (code) => refuse(new Error(`the other process ended with ${code}`)));
  });
  return { stack, ...(JSON.parse(line) as { pid: number; port: number }) };
}

describe("startPostgres()", () => {
  test("finds its data again", async () => {
    const first = await startPostgres({ dataDir });
    await query(first, "create table kept as select 7 as seven");
    await first.stop();
    expect(await first.exited).toBe(0);
    const second = await startPostgres({ dataDir });
    expect(await query(second, "select seven from kept")).toEqual([{ seven: 7 }]);
    await second.stop();
    expect(processesIn(second.dataDirectory)).toEqual([]);
  });

  test("never runs as root, and keeps its files to its own account", async () => {
    const server = await startPostgres({ dataDir });
    expect(readFileSync(`/proc/${server.pid}/status`, "utf8")).not.toMatch(/^Uid:.*\b0\b/m);
    expect(statSync(server.dataDirectory).mode & 0o077).toBe(0);
    expect(statSync(join(dataDir, "postgres-password")).mode & 0o077).toBe(0);
    await server.stop();
  });

  test("listens on loopback only, wants a password, and has no socket file (path.lan)", async () => {
    const server = await startPostgres({ dataDir });
    const settings = await query(server, `
      select name, setting from pg_settings where name in ('listen_addresses', 'unix_socket_directories', 'password_encryption')
    `);
    expect(Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))).toEqual({
      listen_addresses: "127.0.0.1", unix_socket_directories: "", password_encryption: "scram-sha-256",
    });
    const methods = await query(server, "select distinct auth_method from pg_hba_file_rules");
    expect(methods).toEqual([{ auth_method: "scram-sha-256" }]);
    await server.stop();
  });

  test("keeps what it acknowledges, and prints no value: not of a bad input, a unique violation or a statement (content.none)", async () => {
    const lines: string[] = [];
    const server = await startPostgres({ dataDir, log: (line) => lines.push(line) });
    const shown = await query(server, `
      select name, setting from pg_settings where name in ('fsync', 'synchronous_commit', 'full_page_writes')
    `);
    expect(shown.every(({ setting }) => setting === "on")).toBe(true);
    await query(server, "create table taken (word text primary key); insert into taken values ('canary-of-postgres')");
    const failing = [
      "insert into taken values ('canary-of-postgres')",
      "select 'canary-of-postgres'::uuid",
      "select 'canary-of-postgres' from nowhere",
      "do $$ begin raise log 'canary-of-postgres'; raise exception 'canary-of-postgres'; end $$",
    ];
    for (const text of failing) await expect(query(server, text)).rejects.toThrow();
    const sql = postgres(server.url, { max: 1 });
    await expect(sql`select ${"canary-of-postgres"}::text::int`).rejects.toThrow();
    await sql.end();
    await server.stop();
    expect(lines.join("\n")).not.toContain("canary");
    // The output is read: what ends the server is in it.
    const other = await startPostgres({ dataDir, log: (line) => lines.push(line) });
    await expect(query(other, "select pg_terminate_backend(pg_backend_pid())")).rejects.toThrow();
    await other.stop();
    expect(lines.join("\n")).toContain("terminating connection");
  });

  test("takes the port it is given, and says which is in use", async () => {
    const server = createServer();
    const port = await new Promise<number>((settle) => {
      server.listen(0, "127.0.0.1", () => settle((server.address() as { port: number }).port));
    });
    await expect(startPostgres({ dataDir, port })).rejects.toThrow(`Cannot start Postgres: port ${port} is in use; choose another`);
    await new Promise((settle) => server.close(settle));
    const started = await startPostgres({ dataDir, port });
    expect(started.port).toBe(port);
    await started.stop();
  });

  test("refuses a folder that another process uses, until that one ends", async () => {
    const { stack, pid } = await startElsewhere();
    await expect(startPostgres({ dataDir })).rejects.toThrow(`process ${stack.pid} already runs it in ${dataDir}`);
    stack.kill("SIGKILL");
    await once(stack, "exit");
    const server = await startPostgres({ dataDir });
    expect(server.pid).not.toBe(pid);
    await server.stop();
  });

  test("ends with the process that started it, even when that one is killed", async () => {
    const { stack, pid } = await startElsewhere();
    stack.kill("SIGKILL");
    await ended(pid);
  });

  test("stops what a killed stack left running, and loses nothing committed", async () => {
    const { stack, pid, port } = await startElsewhere();
    const password = readFileSync(join(dataDir, "postgres-password"), "utf8").trim();
    const sql = postgres(`postgres://postgres:${password}@127.0.0.1:${port}/postgres`, { max: 1, onnotice: () => {} });
    await sql`create table kept as select 7 as seven`;
    const watchers = readFileSync(`/proc/${stack.pid}/task/${stack.pid}/children`, "utf8").trim().split(" ").map(Number);
    for (const watcher of watchers) if (watcher !== pid) process.kill(watcher, "SIGKILL");
    stack.kill("SIGKILL");
    await once(stack, "exit");
    expect(existsSync(`/proc/${pid}/exe`)).toBe(true);
    const server = await startPostgres({ dataDir });
    await ended(pid);
    expect(await query(server, "select seven from kept")).toEqual([{ seven: 7 }]);
    await server.stop();
    await sql.end({ timeout: 1 });
  });

  test("starts on the same port after the server was killed, with backends still busy", async () => {
    const first = await startPostgres({ dataDir });
    await query(first, "create table kept as select 7 as seven");
    const busy = query(first, "select sum(sqrt(n)) from generate_series(1, 1000000000) as n").catch(() => "cut");
    await expect.poll(async () => (await query(first, "select from pg_stat_activity where query like 'select sum(sqrt%'")).length).toBe(1);
    process.kill(first.pid, "SIGKILL");
    expect(await first.exited).toBeNull();
    const second = await startPostgres({ dataDir, port: first.port });
    expect(await query(second, "select seven from kept")).toEqual([{ seven: 7 }]);
    expect(await busy).toBe("cut");
    await second.stop();
  });

  test("takes no notice of a pid file whose number another process has by now", async () => {
    const first = await startPostgres({ dataDir });
    await first.stop();
    writeFileSync(join(first.dataDirectory, "postmaster.pid"), `${process.pid}\n${first.dataDirectory}\n`);
    await (await startPostgres({ dataDir })).stop();
  });

  test("starts over where making the data directory was cut off", async () => {
    mkdirSync(join(dataDir, "postgres", "data.12345"), { recursive: true });
    writeFileSync(join(dataDir, "postgres", "data.12345", "PG_VERSION"), "18\n");
    const server = await startPostgres({ dataDir });
    expect(existsSync(join(dataDir, "postgres", "data.12345"))).toBe(false);
    await server.stop();
  });

  test("says what is wrong with the folder", async () => {
    writeFileSync(join(parent, "file"), "");
    await expect(startPostgres({ dataDir: join(parent, "file", "data") })).rejects.toThrow(/^Cannot start Postgres in .*: part of the path is a file/);
    const server = await startPostgres({ dataDir });
    await server.stop();
    rmSync(join(dataDir, "postgres-password"));
    await expect(startPostgres({ dataDir })).rejects.toThrow(/postgres-password is missing but there is data/);
  });

  test.runIf(asRoot)("goes to a private folder where its account cannot reach the data, and removePostgres() removes both", async () => {
    chmodSync(parent, 0o700);
    const server = await startPostgres({ dataDir });
    await query(server, "create table kept as select 7 as seven");
    await server.stop();
    const folder = realpathSync(join(dataDir, "postgres"));
    expect(folder).toMatch(/^\/var\/lib\/epithre-[0-9a-f]{16}$/);
    expect(statSync(folder)).toMatchObject({ uid: 65_534 });
    expect(statSync(folder).mode & 0o077).toBe(0);
    const again = await startPostgres({ dataDir });
    expect(await query(again, "select seven from kept")).toEqual([{ seven: 7 }]);
    await again.stop();
    await removePostgres(dataDir);
    expect([existsSync(folder), existsSync(join(dataDir, "postgres"))]).toEqual([false, false]);
  });

  test.runIf(asRoot)("refuses a private folder that is not private", async () => {
    chmodSync(parent, 0o700);
    const server = await startPostgres({ dataDir });
    await server.stop();
    const folder = realpathSync(join(dataDir, "postgres"));
    chmodSync(folder, 0o755);
    await expect(startPostgres({ dataDir })).rejects.toThrow(`${folder} is not a private folder of account 65534; remove it`);
  });
});
