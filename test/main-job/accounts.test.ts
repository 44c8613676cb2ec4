/** A person's whole way through the product as it is started: from the mail of the signup to the end of the account. */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { clientWith, sharedStack } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { waitFor } from "../support/wait.ts";

let stack: Stack;
beforeAll(() => {
  stack = sharedStack();
});
afterAll(() => stack.close());

const email = `${randomUUID()}@example.com`;
const password = "a password of the whole way";

async function ask(method: string, path: string, { body, bearer }: { body?: object; bearer?: string } = {}) {
  const response = await fetch(stack.url + path, {
    method,
    headers: { ...(body ? { "content-type": "application/json" } : {}), ...(bearer ? { authorization: `Bearer ${bearer}` } : {}) },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, text, body: response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : undefined };
}

/** Of the newest mail to the person that has a link for it, as it came over SMTP. */
async function tokenTo(purpose: string): Promise<string> {
  return waitFor(`mail with ${purpose}`, async () => {
    await fetch(`${stack.url}/function/notify`, { method: "POST" });
    const files = readdirSync(stack.mailDir).filter((name) => /^[^.].*\.eml$/.test(name)).sort().reverse();
    const mails = files.map((name) => readFileSync(join(stack.mailDir, name), "utf8").replaceAll("=\r\n", "").replaceAll("=3D", "="));
    const mail = mails.find((each) => each.includes(email) && each.includes(`${stack.dashboardUrl}#${purpose}=`));
    return mail && new RegExp(`#${purpose}=([\\w-]{43})`).exec(mail)![1];
  });
}

it("leads from the mail of the signup over the first answer to the end of the account (right.access, right.correct, right.delete, keep.session)", async () => {
  expect((await ask("POST", "/v1/account/signup", { body: { email, password, name: "Someone" } })).status).toBe(202);
  const verified = await ask("POST", "/v1/account/verify", { body: { token: await tokenTo("verify_email"), password } });
  expect(verified.status).toBe(200);
  const session = verified.body.token as string;

  const made = await ask("POST", "/v1/account/keys", { bearer: session, body: { name: "first", scopes: ["chat", "usage", "billing"] } });
  const key = made.body.key as string;
  const account = (await ask("GET", "/v1/account", { bearer: session })).body;
  await stack.operator.credit(account.id, 1_000_000_000_000);
  const asked = { model: "simulated-chat", messages: [{ role: "user" as const, content: "Hello" }], max_tokens: 8 };
  const answer = await waitFor("the proxy to know the key", () => clientWith(stack, key).chat.completions.create(asked).catch(() => undefined));
  expect(answer.choices).toHaveLength(1);

  // What is one's own can be asked for with either; the inference API takes keys, and accounts takes sessions.
  for (const bearer of [session, key]) {
    expect((await ask("GET", "/v1/billing/balance", { bearer })).body).toMatchObject({ object: "balance" });
    const csv = await waitFor("the usage to be there", async () => {
      const { status, text } = await ask("GET", "/v1/usage.csv", { bearer });
      return status === 200 && text.trim().split("\r\n").length === 2 && text;
    });
    expect(csv).toContain("simulated-chat");
  }
  expect((await ask("POST", "/v1/chat/completions", { bearer: session, body: asked })).body.error.code).toBe("invalid_api_key");
  expect((await ask("GET", "/v1/account", { bearer: key })).body.error.code).toBe("invalid_session");
  expect((await ask("GET", "/v1/account/keys", { bearer: session })).body.data[0]).toMatchObject({ id: made.body.id, last_used_at: expect.any(String) });

  const copy = (await ask("GET", "/v1/account/data", { bearer: session })).body;
  expect(copy.tables.find(({ table }: any) => table === "usage_events").rows).toHaveLength(1);

  expect((await ask("POST", "/v1/account/delete", { bearer: session, body: { password, forfeit_credit: true } })).status).toBe(202);
  const cancelled = await ask("POST", "/v1/account/delete/cancel", { body: { token: await tokenTo("cancel_deletion") } });
  expect(cancelled.status).toBe(200);
  expect((await ask("GET", "/v1/account", { bearer: session })).status).toBe(401);
  await waitFor("the proxy to know that the key is revoked", async () => (await ask("POST", "/v1/chat/completions", { bearer: key, body: asked })).status === 401);
  expect((await ask("POST", "/v1/account/login", { body: { email, password } })).status).toBe(200);
});

it("throttles guesses by the address that the gateway saw, whatever a caller says of itself", async () => {
  const statuses = [];
  const victim = `${randomUUID()}@example.com`;
  for (let guess = 0; guess < 11; guess += 1) {
    const response = await fetch(`${stack.url}/v1/account/login`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-forwarded-for": `203.0.${guess}.1`, "x-real-ip": `203.0.${guess}.1` },
      body: JSON.stringify({ email: victim, password: `guess number ${guess}` }),
    });
    statuses.push(response.status);
  }
  expect(statuses).toEqual([...Array(10).fill(401), 429]);
});
