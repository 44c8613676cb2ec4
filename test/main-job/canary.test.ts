/** Content is nowhere: a canary in every request, answer, picture, header, name and error is found in no file. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCanary } from "#infra/canary/canary.ts";
import { createSearch, type Finding, searchFolder } from "#infra/canary/search.ts";
import { newCustomer, settled, type Customer } from "../support/shared-stack.ts";
import { startStack, type OwnedStack } from "../support/stack.ts";
import { send } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

const canary = createCanary();
const beganMs = Date.now() - 1_000;
/** Where the search must find one in the machine's own temporary folder. */
const plantedInTemp = join(tmpdir(), `epithre-planted-${process.pid}`);
let stackTemp: string;
let stack: OwnedStack;
let customer: Customer;

beforeAll(async () => {
  stackTemp = mkdtempSync(join(tmpdir(), "epithre-canary-"));
  stack = await startStack({ environment: { TMPDIR: stackTemp } });
  customer = await newCustomer(stack);
}, 180_000);
afterAll(async () => {
  await stack.stop();
  for (const path of [stackTemp, plantedInTemp]) rmSync(path, { recursive: true, force: true });
}, 60_000);

const { word } = canary;
const named = (place: string) => `${word} in ${place}`;
const echo = (place: string) => `[[simulate echo]] ${named(place)}`;
const user = (content: unknown) => [{ role: "user", content }];
const tool = { type: "function", function: { name: "look", description: named("a tool"), parameters: { type: "object", properties: { [word]: { type: "string" } } } } };

/** JSON bodies: path, body. Each says where its canary is. */
function jsonCalls(): [path: string, body: Record<string, unknown>][] {
  const chat = "/v1/chat/completions";
  const model = "simulated-chat";
  const schema = { type: "object", properties: { [word]: { type: "string" } } };
  const image = Buffer.from(named("a data URL")).toString("base64");
  const parts = [{ type: "text", text: named("a part") }, { type: "image_url", image_url: { url: `data:image/png;base64,${image}` } }];
  return [
    [chat, { model, messages: user(echo("an answer")) }],
    [chat, { model, messages: user(echo("a stream")), stream: true }],
    [chat, { model, messages: [{ role: "system", content: named("a system message"), name: word }, ...user(parts)] }],
    [chat, { model, messages: user("x"), tools: [tool], tool_choice: "required" }],
    [chat, { model, messages: user("x"), response_format: { type: "json_schema", json_schema: { name: "n", schema } } }],
    [chat, { model, messages: user("x"), stop: [named("stop")], user: word, metadata: { [word]: word }, [word]: word }],
    [chat, { model: named("a model"), messages: user("x") }],
    [chat, { model, messages: named("messages of a wrong type") }],
    [chat, { model, messages: user("x"), temperature: named("a wrong type") }],
    [chat, { model, messages: user(`[[simulate status=400 echo]] ${named("an engine's refusal")}`) }],
    [chat, { model, messages: user(`[[simulate status=500 echo]] ${named("an engine's failure")}`) }],
    [chat, { model, messages: user(`[[simulate error_event after=2]] ${named("a failing stream")}`), stream: true }],
    [chat, { model, messages: user(`[[simulate garbage after=2]] ${named("a broken stream")}`), stream: true }],
    [chat, { model, messages: user(`[[simulate garbage]] ${named("a broken answer")}`) }],
    [chat, { model: "simulated-chat-small", messages: user(named("a long prompt").repeat(100)) }],
    ["/v1/completions", { model, prompt: [echo("a completion"), word], suffix: word }],
    ["/v1/embeddings", { model: "simulated-embedding", input: named("an embedding") }],
    ["/v1/images/generations", { model: "simulated-image", prompt: echo("a picture") }],
  ];
}

function formWith(file: string): FormData {
  const form = new FormData();
  form.set("model", "simulated-image");
  form.set("prompt", echo("a form"));
  form.set("image", new Blob([named(file), new Uint8Array(3_000_000)], { type: "image/png" }), `${word}.png`);
  form.set(word, word);
  return form;
}

/** Everything that is not a well-formed JSON call to a known route. */
async function sendOddities(url: string): Promise<void> {
  const authorization = `Bearer ${customer.key}`;
  const json = "application/json";
  const ascii = encodeURIComponent(word);
  const requests: [path: string, init: RequestInit][] = [
    ["/v1/chat/completions", { method: "POST", headers: { authorization, "content-type": json }, body: `{"model": "${word}", ` }],
    ["/v1/chat/completions", { method: "POST", headers: { authorization, "content-type": `text/plain; ${ascii}` }, body: word }],
    ["/v1/chat/completions", { method: "POST", headers: { authorization: `Bearer ep_${ascii}`, "content-type": json }, body: "{}" }],
    [`/v1/chat/completions?prompt=${ascii}`, { method: "POST", headers: { authorization, "content-type": json, "x-request-id": ascii, "idempotency-key": ascii, "user-agent": ascii, referer: `http://example.com/${ascii}`, cookie: `a=${ascii}` }, body: JSON.stringify({ model: "simulated-chat", messages: user(word) }) }],
    [`/v1/${ascii}`, { headers: { authorization } }],
    [`/v1/models/${ascii}`, { headers: { authorization } }],
    [`/${ascii}`, {}],
    [`/dashboard/${ascii}?q=${ascii}`, {}],
    [`/v1/usage.csv?from=${ascii}`, { headers: { authorization } }],
    [`/v1/usage.csv.receipt?row=${ascii}`, { headers: { authorization } }],
    [`/v1/usage.csv?model=${ascii}`, { headers: { authorization } }],
    [`/v1/usage?group_by=${ascii}`, { headers: { authorization } }],
    [`/v1/usage/${ascii}`, { headers: { authorization } }],
    [`/v1/usage/exports/${ascii}/link`, { method: "POST", headers: { authorization }, body: word }],
    [`/v1/usage/exports/${ascii}/${"x".repeat(43)}`, {}],
    ["/v1/usage/exports", { method: "POST", headers: { authorization }, body: JSON.stringify({ model: word, [word]: word }) }],
    [`/function/${ascii}`, {}],
    [`/function/proxy/${ascii}`, { headers: { authorization } }],
    [`/function/usage-record/settlements`, { method: "POST", headers: { "content-type": json }, body: JSON.stringify({ [word]: word }) }],
    [`/function/admin/accounts`, { method: "POST", headers: { "content-type": json, authorization: `Bearer ${ascii}` }, body: JSON.stringify({ email: word }) }],
    ["/v1/embeddings", { method: "POST", headers: { authorization, "content-type": json, "idempotency-key": ascii }, body: JSON.stringify({ model: "simulated-embedding", input: "x" }) }],
    ["/v1/embeddings", { method: "POST", headers: { authorization, "content-type": json, "idempotency-key": ascii }, body: JSON.stringify({ model: "simulated-embedding", input: "x" }) }],
    ["/v1/embeddings", { method: "POST", headers: { authorization, "content-type": json, "idempotency-key": ascii.repeat(9) }, body: "{}" }],
    ["/async-function/proxy", { method: "POST", body: word }],
  ];
  for (const [path, init] of requests) await (await fetch(url + path, init)).arrayBuffer();
}

/** A file of what the customer used, where the search can find it. */
async function buildFile(): Promise<void> {
  await fetch(`${stack.url}/v1/usage/exports`, { method: "POST", headers: { authorization: `Bearer ${customer.key}` }, body: "{}" });
  await waitFor("the file", async () => {
    await fetch(`${stack.url}/function/export`, { method: "POST" });
    return readdirSync(join(stack.dataDir, "objects", "objects")).length === 1;
  });
}

describe("a canary in everything that a caller sends and an engine answers", () => {
  it("is found in no file, output, mail or metric; and the search finds what is planted (content.none, content.images)", async () => {
    const { url } = stack;
    const { key } = customer;
    for (const [path, body] of jsonCalls()) await send({ url, key, path, body });
    for (const path of ["/v1/images/edits", "/v1/images/variations"]) await send({ url, key, path, body: formWith(path) });
    const leaving = { model: "simulated-chat", messages: user(`[[simulate hang after=2]] ${named("a stream that was left")}`), stream: true };
    await send({ url, key, body: leaving, leaveAfterDeltas: 2 });
    await sendOddities(url);
    await settled(stack);
    await buildFile();
    // The header's value was taken, and told from itself again, by a digest that nobody can make without the key.
    const claims = await stack.sql<{ digest: Buffer }[]>`select digest from idempotency_claims where account_id = ${customer.accountId}`;
    expect(claims).toHaveLength(1);
    expect(claims[0]!.digest).not.toEqual(createHash("sha256").update(encodeURIComponent(word)).digest());

    expect(await search()).toEqual([]);

    const planted = await plant();
    const found = (await search()).map(({ place }) => place);
    for (const place of planted) expect(found.join("\n")).toContain(place);
  }, 120_000);
});

/** Everywhere that something could have been kept; what stands around a finding tells which call it came from. */
async function search(): Promise<(Finding & { around: string })[]> {
  // What Postgres still holds in memory is written to its files first.
  await stack.sql`checkpoint`;
  const own = [realpathSync(join(stack.dataDir, "postgres")), stack.dataDir, stackTemp];
  const found = createSearch(canary);
  for (const [index, folder] of own.entries()) {
    await searchFolder(found, folder);
    // Less would mean that the database's files, which may be behind a link, were not read.
    if (index === 0) expect(found.bytes).toBeGreaterThan(20_000_000);
  }
  for (const folder of [tmpdir(), "/var/tmp", "/dev/shm"]) await searchFolder(found, folder, { sinceMs: beganMs, except: own });
  const texts = new Map(await outputs());
  for (const [place, text] of texts) await found.read(place, [Buffer.from(text)]);
  return found.findings.map((one) => ({ ...one, around: aroundIn(one, texts) }));
}

/** Bytes around a finding that are shown. */
const aroundBytes = 60;

function aroundIn({ place, disguise }: Finding, texts: ReadonlyMap<string, string>): string {
  if (place.startsWith("name of ")) return "";
  const bytes = Buffer.from(texts.get(place) ?? readFileSync(place));
  const at = Math.max(...canary.needles.filter(([name]) => name === disguise).map(([, needle]) => bytes.indexOf(needle)));
  return at < 0 ? "" : bytes.toString("latin1", Math.max(0, at - aroundBytes), at + 2 * aroundBytes).replace(/[^ -~]/g, ".");
}

async function outputs(): Promise<[place: string, text: string][]> {
  const { url, admin } = stack;
  const authorization = `Basic ${Buffer.from(`${admin.user}:${admin.password}`).toString("base64")}`;
  const text = async (address: string) => (await fetch(address, { headers: { authorization } })).text();
  const names = ((await (await fetch(`${url}/system/functions`, { headers: { authorization } })).json()) as { name: string }[]).map(({ name }) => name);
  expect(names).toContain("proxy");
  const each = names.map(async (name): Promise<[string, string][]> => [
    [`output of ${name}`, await text(`${url}/system/logs?name=${name}&tail=-1`)],
    [`metrics of ${name}`, await text(`http://127.0.0.1:${stack.environmentOf(name).PORT}/_/metrics`)],
  ]);
  return [
    ["output of the stack", stack.output()],
    ["metrics of the gateway", await text(`${url}/metrics`)],
    ["list of functions", await text(`${url}/system/functions`)],
    ...(await Promise.all(each)).flat(),
  ];
}

/** One where each kind of leak would be, each in another disguise; answers a part of the place of each. */
async function plant(): Promise<string[]> {
  const base64 = Buffer.from(`xy${word}`).toString("base64");
  writeFileSync(join(stack.mailDir, "planted.eml"), `Subject: ${encodeURIComponent(word)}\n`);
  writeFileSync(join(stackTemp, "planted"), base64);
  writeFileSync(join(stack.dataDir, "objects", "objects", "planted.csv"), word);
  writeFileSync(plantedInTemp, Buffer.from([...Buffer.from(word)].reverse()));
  await stack.sql`create table planted as select ${word}::text as content`;
  const [{ path }] = (await stack.sql`select pg_relation_filepath('planted') as path`) as unknown as [{ path: string }];
  return ["planted.eml", "planted.csv", join(stackTemp, "planted"), plantedInTemp, path, "pg_wal/"];
}
