/** The export function in the test's own process, with key-auth and a database, and people who used something. */
import { createPrivateKey } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { serve, type RunningFunction } from "openfaas-node";
import { startObjectStore } from "#infra/local/object-store.ts";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { createAccountOf } from "#shared/caller.ts";
import { systemClock } from "#shared/clock.ts";
import { connect } from "#shared/db.ts";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { createInternalClient, type InternalClient } from "#shared/http.ts";
import { uuidv7 } from "#shared/ids.ts";
import { createObjectStore, createS3Client, type ObjectStore } from "#shared/object-store.ts";
import { createReceiptSigner } from "#shared/receipts.ts";
import { type BuildAnswer, type BuildDeps, createFileBuild } from "../../functions/export/file-build.ts";
import { createHandler, type Deps } from "../../functions/export/handler.ts";
import { statementTimeoutMs } from "../../functions/export/queries.ts";
import { createHandler as createKeyAuth } from "../../functions/key-auth/handler.ts";
import { VerdictsAnswer } from "../../functions/key-auth/schema.ts";
import { addKey, addModel, openAccount } from "./accounts.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";

const edgeSecret = "secret-of-the-edge-in-tests";
const log = () => {};

/** Milliseconds. A midnight ahead for which there are slices already. */
export const firstDayMs = (Math.floor(Date.now() / 86_400_000) + 3) * 86_400_000;

export interface Person {
  accountId: string;
  keyId: string;
  key: string;
}

export type Handler = (request: Request) => Promise<Response>;

export interface TestExport {
  db: TestDatabase;
  /** With the rights of export. */
  pool: DatabasePool;
  /** As export has it, and what its files lie in. */
  store: ObjectStore;
  storeFolder: string;
  storeUrl: string;
  /** The work of a schedule's call, with some of its parts replaced. */
  buildWith(parts: Partial<BuildDeps>): () => Promise<BuildAnswer>;
  /** A handler with some of its parts replaced. */
  handlerWith(parts: Partial<Omit<Deps, "accountOf">> & { keyAuth?: InternalClient }): Handler;
  clientAt(port: number): InternalClient;
  newPerson(): Promise<Person>;
  /** One event at each time; each costs one micro-rupiah more than the one before. Answers their ids in order. */
  addUsage(person: Person, timesMs: number[]): Promise<string[]>;
  /** Asks the running function. */
  ask(person: Pick<Person, "key">, path: string, init?: RequestInit): Promise<Response>;
  url: string;
  close(): Promise<void>;
}

export async function startExport(): Promise<TestExport> {
  const db = await createTestDatabase();
  await addModel(db.sql, "test-chat");
  const keyAuthPool = createDatabasePool({ url: db.urlFor("key-auth"), log });
  const pool = createDatabasePool({ url: db.urlFor("export"), log, statementTimeoutMs });
  const keyAuth = await serveOnLoopback("key-auth", createKeyAuth({ edgeSecrets: { export: edgeSecret }, database: keyAuthPool, clock: systemClock }));
  const client = clientAt(keyAuth.port);
  const signer = createReceiptSigner(createPrivateKey(makeReceiptKey()));
  const storeFolder = mkdtempSync(join(tmpdir(), "epithre-store-"));
  const local = await startObjectStore(storeFolder, "secret-of-tests");
  const [accessKeyId, secretAccessKey] = local.login.split(":") as [string, string];
  const store = createObjectStore(createS3Client({ url: local.url, region: "us-east-1", login: { accessKeyId, secretAccessKey } }), local.bucket, "usage-exports/");

  const open = () => connect({ url: db.urlFor("export"), connections: 1 });
  const buildWith: TestExport["buildWith"] = (parts) => createFileBuild({ open, database: pool, store, clock: systemClock, log, ...parts });
  const accountOfBy = (asked: InternalClient) => createAccountOf({ keyAuth: asked, answer: VerdictsAnswer, scope: "usage", task: "export usage" });
  const handlerWith: TestExport["handlerWith"] = ({ keyAuth: asked = client, ...parts }) =>
    createHandler({ accountOf: accountOfBy(asked), database: pool, store, build: buildWith({}), signer, otherKeys: [], clock: systemClock, ...parts });
  const running = await serveOnLoopback("export", handlerWith({}));
  const url = `http://127.0.0.1:${running.port}`;

  return {
    db,
    pool,
    store,
    storeFolder,
    storeUrl: local.url,
    url,
    handlerWith,
    buildWith,
    clientAt,
    async newPerson() {
      const accountId = await openAccount(db.sql);
      const { keyId, key } = await addKey(db.sql, accountId);
      await db.sql`update api_keys set scopes = array['usage'] where id = ${keyId}`;
      return { accountId, keyId, key };
    },
    async addUsage({ accountId, keyId }, timesMs) {
      const ids = timesMs.map((timeMs) => uuidv7(timeMs)).sort();
      await db.sql`
        insert into usage_events (
          id, account_id, key_id, cost_micro, price_version, prompt_tokens, cached_tokens, completion_tokens,
          reasoning_tokens, images, latency_ms, endpoint, model_id, status
        )
        select e.id, ${accountId}, ${keyId}, 12000000 + position, 7, 12, 3, 34, 5, 0, 56, 'chat.completions', m.id, 200
        from unnest(${ids}::uuid[]) with ordinality as e (id, position), models m
        where m.name = 'test-chat'
      `;
      return ids;
    },
    ask: (person, path, init = {}) => fetch(url + path, { headers: { authorization: `Bearer ${person.key}` }, ...init }),
    async close() {
      await Promise.all([running.stop(), client.close(), keyAuth.stop()]);
      await Promise.all([pool.close(), keyAuthPool.close()]);
      store.close();
      await local.close();
      rmSync(storeFolder, { recursive: true });
      await db.close();
    },
  };
}

export function serveOnLoopback(name: string, handler: Handler): Promise<RunningFunction> {
  return serve({ name, port: 0, hostname: "127.0.0.1", log, bodyBytesMax: 65_536, drainTimeoutMs: 1_000, handler });
}

function clientAt(port: number): InternalClient {
  return createInternalClient({ from: "export", to: "key-auth", url: `http://127.0.0.1:${port}`, edgeSecret });
}

/** Each record by the names of the header. */
export function readCsv(csv: string): Record<string, string>[] {
  return parse(csv, { columns: true, recordDelimiter: "\r\n" });
}

export async function refused(response: Response) {
  const { error } = (await response.json()) as { error: { code: string; param: string | null; message: string } };
  return { status: response.status, code: error.code, param: error.param, retryAfter: response.headers.get("retry-after") };
}
