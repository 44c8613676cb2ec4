/** The function accounts as it is served, with key-auth, a database and notify behind it; people with accounts of their own. */
import { createPrivateKey, randomUUID } from "node:crypto";
import { serve } from "openfaas-node";
import { makeReceiptKey, publicKeyOf } from "#infra/receipts/key.ts";
import { createSessionOf } from "#shared/caller.ts";
import { type Clock, systemClock } from "#shared/clock.ts";
import { createDatabasePool, type DatabasePool } from "#shared/db-pool.ts";
import { connect } from "#shared/db.ts";
import { createInternalClient, type InternalClient } from "#shared/http.ts";
import type { Mail } from "#shared/mail.ts";
import { createNetworkOf } from "../../functions/accounts/client-address.ts";
import { createHandler, createInternal } from "../../functions/accounts/handler.ts";
import { createHasher } from "../../functions/accounts/hasher.ts";
import type { Parts } from "../../functions/accounts/parts.ts";
import { createPasswords } from "../../functions/accounts/passwords.ts";
import { createSessionIssuer } from "../../functions/accounts/sessions.ts";
import { createThrottles } from "../../functions/accounts/throttles.ts";
import { createHandler as createKeyAuth } from "../../functions/key-auth/handler.ts";
import { createHandler as createNotify } from "../../functions/notify/handler.ts";
import { createLinks } from "../../functions/notify/links.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";

const edgeSecret = "secret-of-the-edge-in-tests";
const log = () => {};

export const dashboardUrl = "https://epithre.example/dashboard/";
/** The header that the ingress of these tests sets. */
export const addressHeader = "x-test-address";

export interface Answer {
  status: number;
  headers: Headers;
  body: any;
}

export interface Asked {
  method?: string;
  body?: unknown;
  session?: string;
  headers?: Record<string, string>;
}

export interface Someone {
  email: string;
  password: string;
  accountId: string;
  session: string;
}

export interface AccountsService {
  db: TestDatabase;
  url: string;
  parts: Parts;
  /** Signs sessions, in PEM. */
  sessionKey: string;
  keyAuth: InternalClient;
  /** Hashes and looks into the database that were asked for. */
  work(): { hashes: number; looks: number };
  ask(path: string, asked?: Asked): Promise<Answer>;
  post(path: string, body: unknown, asked?: Asked): Promise<Answer>;
  /** Sends what the outbox has, and answers what went out. */
  mail(): Promise<Mail[]>;
  /** The token of the newest mail for a purpose that is due for this address. */
  tokenTo(email: string, purpose: string): Promise<string>;
  /** Signed up, verified and logged in. */
  newPerson(): Promise<Someone>;
  /** Begins the hour of the throttles anew. */
  nextHour(): void;
  close(): Promise<void>;
}

export const tokenIn = (mail: Mail | undefined, purpose: string) => new RegExp(`#${purpose}=([\\w-]{43})$`, "m").exec(mail?.text ?? "")?.[1];

export async function startAccounts(given: Partial<Parts> = {}): Promise<AccountsService> {
  const db = await createTestDatabase();
  const sessionKey = makeReceiptKey();
  const keyAuthPool = createDatabasePool({ url: db.urlFor("key-auth"), log });
  const keyAuthHandler = createKeyAuth({
    edgeSecrets: { accounts: edgeSecret, billing: edgeSecret }, database: keyAuthPool, clock: systemClock, sessionKeys: [publicKeyOf(sessionKey)],
  });
  const common = { port: 0, hostname: "127.0.0.1", log, drainTimeoutMs: 1_000 };
  const keyAuthServer = await serve({ ...common, name: "key-auth", bodyBytesMax: 65_536, nodeHandler: keyAuthHandler.node });
  const keyAuth = createInternalClient({ from: "accounts", to: "key-auth", url: `http://127.0.0.1:${keyAuthServer.port}`, edgeSecret });

  const pool = createDatabasePool({ url: db.urlFor("accounts"), log });
  const database: DatabasePool = { ...pool, run: (query) => ((looks += 1), pool.run(query)) };
  const hasher = createHasher();
  let hashes = 0;
  let looks = 0;
  let hoursPassed = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + hoursPassed * 3_600_000 };
  const counted = (task: Parameters<typeof hasher.hash>[0]) => ((hashes += 1), hasher.hash(task));
  const parts: Parts = {
    database,
    passwords: createPasswords({ hash: counted }),
    issueSession: createSessionIssuer(createPrivateKey(sessionKey)),
    sessionOf: createSessionOf(keyAuth),
    throttles: createThrottles(clock),
    pause: async () => {},
    networkOf: createNetworkOf(addressHeader),
    signupCreditMicro: null,
    ...given,
  };
  const server = await serve({
    ...common,
    name: "accounts",
    bodyBytesMax: 32 * 1024,
    handlerPath: "/v1/",
    handler: createHandler(parts),
    nodeHandler: createInternal(parts, { notify: edgeSecret }).node,
  });
  const url = `http://127.0.0.1:${server.port}`;
  const toAccounts = createInternalClient({ from: "notify", to: "accounts", url, edgeSecret });

  const ask: AccountsService["ask"] = async (path, { method = "GET", body, session, headers = {} } = {}) => {
    const response = await fetch(url + path, {
      method,
      body: body === undefined || typeof body === "string" ? (body as string | undefined) : JSON.stringify(body),
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(session ? { authorization: `Bearer ${session}` } : {}),
        ...headers,
      },
    });
    return { status: response.status, headers: response.headers, body: await response.json().catch(() => undefined) };
  };
  const post: AccountsService["post"] = (path, body, asked = {}) => ask(path, { method: "POST", body, ...asked });

  async function mail(): Promise<Mail[]> {
    const sent: Mail[] = [];
    const mailer = { send: async (one: Mail) => void sent.push(one), close() {} };
    const linkOf = createLinks(toAccounts, dashboardUrl);
    const notify = createNotify({ open: () => connect({ url: db.urlFor("notify"), connections: 1 }), mailer, attachmentsOf: async () => [], linkOf, log });
    const response = await notify(new Request("http://notify/", { method: "POST" }));
    if (response.status !== 200) throw new Error(`notify answers ${response.status}`);
    return sent;
  }

  async function tokenTo(email: string, purpose: string): Promise<string> {
    const token = (await mail()).filter(({ to }) => to === email).map((one) => tokenIn(one, purpose)).findLast(Boolean);
    if (!token) throw new Error(`No mail to ${email} brings a token to ${purpose}`);
    return token;
  }

  return {
    db,
    url,
    parts,
    sessionKey,
    keyAuth,
    work: () => ({ hashes, looks }),
    ask,
    post,
    mail,
    tokenTo,
    async newPerson() {
      const [email, password] = [`${randomUUID()}@example.com`, `password ${randomUUID()}`];
      await post("/v1/account/signup", { email, password, name: "Someone" });
      const token = await tokenTo(email, "verify_email");
      const { body } = await post("/v1/account/verify", { token, password });
      const [row] = await db.sql<{ id: string }[]>`select account_id as id from persons where email = ${email}`;
      return { email, password, accountId: row!.id, session: body.token };
    },
    nextHour: () => void (hoursPassed += 1),
    async close() {
      await Promise.all([server.stop(), toAccounts.close(), keyAuth.close()]);
      await keyAuthServer.stop();
      await Promise.all([database.close(), keyAuthPool.close(), hasher.close()]);
      await db.close();
    },
  };
}
