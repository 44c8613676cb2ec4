/**
 * Nobody reaches what is another's: every public route is asked by a stranger for what an account has, by its real ids
 * and by ids that never existed. A route that is not in these lists fails the test.
 */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publicRoutes } from "#infra/local/routes.ts";
import { linkTo } from "../support/mailbox.ts";
import { clientWith, settled, sharedStack } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { waitFor } from "../support/wait.ts";

interface Person {
  id: string;
  email: string;
  session: string;
  key: string;
  keyId: string;
  invoiceId: string;
  requestId: string;
  exportId: string;
  exportToken: string;
}

/** Who may ask: by a session, by an API key, or by either. */
type By = "session" | "key" | "either";

/** Routes with an id in the path: method, path, whose id it is, by what it is asked, and a body that is in order. */
const withId: [route: string, of: keyof Person, by: By, body?: object][] = [
  ["PATCH /v1/account/keys/{id}", "keyId", "session", { name: "taken" }],
  ["POST /v1/account/keys/{id}/rotate", "keyId", "session", { overlap_hours: 0 }],
  ["DELETE /v1/account/keys/{id}", "keyId", "session"],
  ["GET /v1/billing/invoices/{id}", "invoiceId", "either"],
  ["GET /v1/billing/invoices/{id}.pdf", "invoiceId", "either"],
  ["POST /v1/billing/invoices/{id}/cancel", "invoiceId", "either", {}],
  ["GET /v1/usage/{id}", "requestId", "either"],
  ["GET /v1/usage/exports/{id}", "exportId", "either"],
  ["POST /v1/usage/exports/{id}/link", "exportId", "either", {}],
  ["GET /v1/usage/exports/{id}/receipt", "exportId", "either"],
];

/** Routes that answer with what is the caller's own, or everybody's. `shows`: what the owner finds in it. */
const withoutId: [route: string, by: By | "nobody", shows?: keyof Person][] = [
  ["GET /v1/account", "session", "email"],
  ["GET /v1/account/data", "session", "email"],
  ["GET /v1/account/keys", "session", "keyId"],
  ["GET /v1/billing/balance", "either"],
  ["GET /v1/billing/alert", "either"],
  ["GET /v1/billing/topups", "either"],
  ["GET /v1/billing/invoices", "either", "invoiceId"],
  ["GET /v1/billing/statements", "either"],
  ["GET /v1/usage", "either"],
  ["GET /v1/usage.csv", "either", "requestId"],
  ["GET /v1/usage.csv.receipt", "either"],
  ["GET /v1/usage/events", "either", "requestId"],
  ["GET /v1/usage/exports", "either", "exportId"],
  ["GET /v1/key", "key"],
  ["GET /v1/models", "key"],
  ["GET /v1/prices", "nobody"],
  ["GET /.well-known/epithre-receipt-keys.json", "nobody"],
  ["GET /", "nobody"],
  ["GET /dashboard", "nobody"],
  ["GET /dashboard/", "nobody"],
];

/**
 * Routes that name no row of an account: their subject is the caller alone, a word that only its owner's mailbox got, a
 * month, or a model. Those that write are held to the caller in the tests of their function.
 */
const ofTheCaller = [
  "PATCH /v1/account", "POST /v1/account/delete", "POST /v1/account/keys", "POST /v1/account/logout-all", "POST /v1/account/password",
  "PUT /v1/billing/alert", "POST /v1/billing/topups", "POST /v1/usage/exports",
  "GET /v1/billing/statements/{id}", "GET /v1/billing/statements/{id}.pdf", "GET /v1/billing/statements/{id}.csv",
];
const byMailedWord = [
  "POST /v1/account/delete/cancel", "POST /v1/account/email/confirm", "POST /v1/account/password/reset", "POST /v1/account/verify",
];
const byPassword = [
  "POST /v1/account/login", "POST /v1/account/signup", "POST /v1/account/password/reset-request", "POST /v1/account/verify/resend",
];

const password = "a password that is long enough";
let stack: Stack;
let owner: Person;
let stranger: Person;

beforeAll(async () => {
  stack = sharedStack();
  owner = await newPerson();
  stranger = await newPerson();
}, 60_000);
afterAll(() => stack.close());

async function ask(route: string, { bearer, body, id }: { bearer?: string | undefined; body?: object | undefined; id?: string } = {}) {
  const [method, path] = route.split(" ") as [string, string];
  const response = await fetch(stack.url + path.replace("{id}", id ?? ""), {
    method,
    headers: {
      "idempotency-key": randomUUID(),
      ...(body ? { "content-type": "application/json" } : {}),
      ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
    },
    body: body && JSON.stringify(body),
  });
  const headers = Object.fromEntries([...response.headers].filter(([name]) => name !== "date" && name !== "x-request-id"));
  return { status: response.status, headers, text: await response.text() };
}

async function have<T>(route: string, given: Parameters<typeof ask>[1]): Promise<T> {
  const { status, text } = await ask(route, given);
  if (status >= 300) throw new Error(`${route} answers ${status} ${text}`);
  return JSON.parse(text) as T;
}

/** Somebody with one of everything. */
async function newPerson(): Promise<Person> {
  const email = `${randomUUID()}@example.com`;
  await ask("POST /v1/account/signup", { body: { email, password } });
  const token = (await linkTo(stack, email, "verify_email")).split("=")[1];
  const { token: session } = await have<{ token: string }>("POST /v1/account/verify", { body: { token, password } });
  const { id } = await have<{ id: string }>("GET /v1/account", { bearer: session });
  const made = await have<{ id: string; key: string }>("POST /v1/account/keys", {
    bearer: session, body: { name: "one", scopes: ["chat", "models", "usage", "billing"] },
  });
  await stack.operator.credit(id, 1_000_000_000_000);
  const { response } = await waitFor("the proxy to know the key", () =>
    clientWith(stack, made.key).chat.completions
      .create({ model: "simulated-chat", messages: [{ role: "user", content: "Hello" }], max_tokens: 8 })
      .withResponse()
      .catch(() => undefined),
  );
  await settled(stack);
  const invoice = await have<{ id: string }>("POST /v1/billing/topups", { bearer: session, body: { amount_rupiah: 100_000 } });
  const asked = await have<{ id: string }>("POST /v1/usage/exports", { bearer: session, body: {} });
  await waitFor("the file", async () => {
    await fetch(`${stack.url}/function/export`, { method: "POST" });
    return (await ask("GET /v1/usage/exports/{id}", { bearer: session, id: asked.id })).text.includes('"ready"');
  });
  const link = await have<{ path: string }>("POST /v1/usage/exports/{id}/link", { bearer: session, id: asked.id, body: {} });
  return {
    id, email, session, key: made.key, keyId: made.id, invoiceId: invoice.id, requestId: response.headers.get("x-request-id")!,
    exportId: asked.id, exportToken: link.path.split("/").at(-1)!,
  };
}

const bearersOf = (person: Person, by: By | "nobody") =>
  ({ session: [person.session], key: [person.key], either: [person.session, person.key], nobody: [undefined] })[by];

/** All that the database has of an account, but for what a look changes. */
async function everythingOf(accountId: string): Promise<unknown> {
  const [row] = await stack.sql`
    select
      (select json_agg(k order by id) from api_keys k where account_id = ${accountId}) as keys,
      (select json_agg(i order by id) from invoices i where account_id = ${accountId}) as invoices,
      (select json_agg(u order by id) from usage_events u where account_id = ${accountId}) as usage,
      (select json_agg(e order by id) from usage_exports e where account_id = ${accountId}) as exports,
      (select json_agg(b order by id) from billing_events b where account_id = ${accountId}) as events
  `;
  return row;
}

describe("a public route", () => {
  it("is in one of the lists above", () => {
    const listed = [...withId.map(([route]) => route), ...withoutId.map(([route]) => route), ...ofTheCaller, ...byMailedWord, ...byPassword];
    const declared = ["accounts", "billing"].flatMap((name) =>
      readdirSync(`functions/${name}`)
        .filter((file) => file.endsWith(".ts"))
        .flatMap((file) => [...readFileSync(`functions/${name}/${file}`, "utf8").matchAll(/method: "([A-Z]+)",\s+path: "([^"]+)"/g)])
        .map(([, method, path]) => `${method} ${path}`),
    );
    expect(declared.length).toBeGreaterThan(20);
    expect(declared.filter((route) => !listed.includes(route))).toEqual([]);
    const paths = listed.map((route) => route.split(" ")[1]!);
    const uncovered = publicRoutes.filter(({ path }) => !paths.some((each) => (path.endsWith("*") ? each.startsWith(path.slice(0, -1)) : each === path)));
    expect(uncovered.map(({ path }) => path)).toEqual([]);
  });

  it.each(withId)("answers %s with another's id as with one that never was, and changes nothing (right.access)", async (route, of, by, body) => {
    const before = await everythingOf(owner.id);
    for (const bearer of bearersOf(stranger, by)) {
      const anothers = await ask(route, { bearer, body, id: owner[of] });
      expect(anothers.status).toBe(404);
      expect(anothers).toEqual(await ask(route, { bearer, body, id: of === "requestId" ? neverUsed(owner.requestId) : randomUUID() }));
    }
    expect(await everythingOf(owner.id)).toEqual(before);
    const unnamed = await ask(route, { body, id: owner[of] });
    expect(unnamed.status).toBe(401);
  });

  it.each(withoutId)("answers %s with what is the caller's (right.access)", async (route, by, shows) => {
    const secrets = (["id", "email", "keyId", "invoiceId", "requestId", "exportId"] as const).map((name) => owner[name]);
    for (const bearer of bearersOf(stranger, by)) {
      const { status, text } = await ask(route, { bearer });
      expect(status).toBeLessThan(400);
      for (const secret of secrets) expect(text).not.toContain(secret);
    }
    if (shows === undefined) return;
    for (const bearer of bearersOf(owner, by)) expect((await ask(route, { bearer })).text).toContain(owner[shows]);
  });

  it("hands out a file by its own link alone, to whoever has it", async () => {
    const at = (id: string, token: string) => ask(`GET /v1/usage/exports/${id}/${token}`);
    expect((await at(owner.exportId, owner.exportToken)).text).toContain(owner.requestId);
    const wrong = await at(owner.exportId, stranger.exportToken);
    expect(wrong.status).toBe(404);
    expect(wrong).toEqual(await at(randomUUID(), stranger.exportToken));
    expect(wrong).toEqual(await at(stranger.exportId, owner.exportToken));
  });

  it.each(["GET /v1/usage?key_id=", "GET /v1/usage.csv?key_id=", "GET /v1/usage/events?key_id="])("%s takes another's key for one without calls", async (route) => {
    const [method, path] = route.split(" ") as [string, string];
    // The answer says again what was asked for, and no more of it.
    const asked = async (keyId: string) => {
      const { status, text } = await ask(`${method} ${path}${keyId}`, { bearer: stranger.session });
      return { status, text: text.replaceAll(keyId, "the key") };
    };
    expect(await asked(owner.keyId)).toEqual(await asked(randomUUID()));
  });
});

/** An id of the same moment that no call has. */
function neverUsed(requestId: string): string {
  return requestId.slice(0, -4) + (requestId.endsWith("0000") ? "0001" : "0000");
}
