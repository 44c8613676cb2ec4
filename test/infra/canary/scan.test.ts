/** The whole scan, as a program, against an API that leaks and one that does not. */
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { disguises, type Disguise } from "#infra/canary/canary.ts";
import type { Report } from "#infra/canary/scan.ts";
import { startObjectStore } from "#infra/local/object-store.ts";
import { launch } from "../../support/child-process.ts";
import { disguised } from "../../support/disguise.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const main = fileURLToPath(new URL("../../../infra/canary/main.ts", import.meta.url));
const requestId = "019aba6e-8c1d-7c3a-9d5e-0123456789ab";
const idBytes = Buffer.from(requestId.replaceAll("-", ""), "hex");

/** Where and how the API leaks each word that it gets. */
type Leak = (word: string) => void;

interface World {
  leak: Leak;
  /** What the API answers to calls with content. */
  status: number;
  /** What its stores write by themselves, so that controls are found. */
  writes: { id: boolean; mail: boolean; log: boolean };
}

const kept = (): World => ({ leak: () => {}, status: 200, writes: { id: true, mail: true, log: true } });

/** An API with its stores, and the scanner's configuration for them. */
async function startWorld(world: World) {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  for (const name of ["database", "mail", "temp", "settings"]) mkdirSync(at(name));
  const store = await startObjectStore(at("objects"), "a-secret-of-some-length");
  const log: string[] = [];
  let leaked = false;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const path = request.url!;
    const [word] = /Cnry~[A-Z]{24}\/é\+/.exec(body) ?? [];
    if (word && !leaked) world.leak(word);
    leaked ||= word !== undefined;
    if (path === "/metrics") return void response.end(`# HELP example_calls_total\n${log.join("\n")}`);
    if (world.writes.log) log.push(path.split("?")[0]!.replaceAll(/[A-Z]{24}/g, ""));
    if (path === "/log") return void response.end(log.join("\n"));
    if (path === "/v1/models") return void response.end(JSON.stringify({ data: [{ id: "chat", kind: "chat" }, { id: "image", kind: "image" }] }));
    if (path.endsWith("/reset-request") && world.writes.mail) writeFileSync(at("mail/1.eml"), "To: someone@example.com");
    if (world.writes.id) writeFileSync(at("database/1"), idBytes);
    response.writeHead(path.startsWith("/v1/chat") ? world.status : 404, { "x-request-id": requestId }).end("{}");
  }

  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await store.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const secret = (name: string, content: string) => (writeFileSync(at(`settings/${name}`), `${content}\n`), at(`settings/${name}`));
  const config = {
    url,
    apiKeyFile: secret("key", "ep_example"),
    email: "someone@example.com",
    patienceSeconds: 0,
    stores: [
      { kind: "folder", name: "database", path: at("database"), control: "request-id" },
      { kind: "folder", name: "mail", path: at("mail"), control: "mail" },
      { kind: "folder", name: "temp", path: at("temp"), control: "file", recentOnly: true },
      { kind: "url", name: "log", url: `${url}/log`, control: "path" },
      { kind: "url", name: "metrics", url: `${url}/metrics`, control: { text: "example_calls_total" } },
      { kind: "object-store", name: "objects", url: store.url, bucket: store.bucket, loginFile: secret("login", store.login) },
    ],
  };
  const places: Record<string, (bytes: Buffer) => void> = {
    ...Object.fromEntries(["database", "mail", "temp"].map((name) => [name, (bytes: Buffer) => writeFileSync(at(`${name}/leak`), bytes)])),
    objects: (bytes) => writeFileSync(at("objects/objects/leak"), bytes),
    log: (bytes) => log.push(bytes.toString("latin1")),
  };
  return { config, places, at };
}

/** The scanner as it is started by a schedule. */
async function run(config: object): Promise<{ code: number | null; output: string; report: Report }> {
  const file = join(temporaryFolder(), "config.json");
  writeFileSync(file, JSON.stringify(config));
  const { output, code } = launch([process.execPath, main, "--config", file]);
  const ended = await code;
  const said = output();
  return { code: ended, output: said, report: said.startsWith("{") ? (JSON.parse(said) as Report) : ({} as Report) };
}

test("canary finds nothing where nothing is kept, and a control in every store (content.none)", async () => {
  const { config } = await startWorld(kept());
  const { code, report } = await run(config);
  expect(report).toMatchObject({
    calls: { failed: 0 }, storesSearched: 6, controlsFound: 6, storesNotSearched: [], cannotSearch: ["engine memory", "backups"], hits: 0,
  });
  expect(report.stores.map(({ bytes }) => bytes > 0)).toEqual(config.stores.map(() => true));
  expect(code).toBe(0);
});

test.each(["database", "mail", "temp", "objects", "log"])("canary finds each disguise in %s, names store and disguise, and prints nothing of it (content.none)", async (place) => {
  const world = kept();
  const { config, places } = await startWorld(world);
  let words = "";
  world.leak = (word) => {
    words = word;
    places[place]!(Buffer.concat(disguises.flatMap((disguise) => [disguised[disguise](word), Buffer.alloc(1_000, " ")])));
  };
  const { code, output, report } = await run(config);
  const found = (name: string) => report.stores.find(({ store }) => store === name)!.hits;
  expect(Object.keys(found(place)).sort()).toEqual([...disguises].sort());
  // Metrics show the log here.
  for (const { store, hits } of report.stores) if (![place, "metrics"].includes(store)) expect([store, hits]).toEqual([store, {}]);
  expect(code).toBe(1);
  for (const disguise of disguises) expect(output).not.toContain(disguised[disguise as Disguise](words).toString("latin1"));
  expect(output).not.toContain(words.slice(5, 20));
});

test.each([
  ["database", { id: false }],
  ["mail", { mail: false }],
  ["log", { log: false }],
])("canary does not count %s as searched when its control is not there", async (name, missing) => {
  const world = kept();
  Object.assign(world.writes, missing);
  const { code, report } = await run((await startWorld(world)).config);
  expect(report).toMatchObject({ storesSearched: 5, controlsFound: 5, storesNotSearched: [name], hits: 0 });
  expect(code).toBe(2);
});

test("canary does not count a store that cannot be read, or whose control cannot be put there", async () => {
  const { config, at } = await startWorld(kept());
  const moved = config.stores.map((store) => {
    if (store.kind === "object-store") return { ...store, bucket: "another" };
    return store.kind === "url" ? { ...store, url: "http://127.0.0.1:1/" } : { ...store, path: at("gone") };
  });
  const { code, report } = await run({ ...config, stores: moved });
  expect(report.storesNotSearched).toEqual(config.stores.map(({ name }) => name));
  expect(code).toBe(2);
});

test("canary does not take a mail of an earlier day for its control", async () => {
  const world = kept();
  world.writes.mail = false;
  const { config, at } = await startWorld(world);
  writeFileSync(at("mail/old.eml"), "To: someone@example.com");
  const old = new Date(Date.now() - 86_400_000);
  utimesSync(at("mail/old.eml"), old, old);
  expect((await run(config)).report.storesNotSearched).toEqual(["mail"]);
});

test.each([
  ["no call is served", async () => (await startWorld({ ...kept(), status: 402 })).config, "Cannot scan: no call with a canary was served; check the key, its scopes and its balance\n"],
  ["the API is away", async () => ({ ...(await startWorld(kept())).config, url: "http://127.0.0.1:1" }), "Cannot scan: the API or a store does not answer\n"],
  ["the configuration has a mistake", async () => ({ ...(await startWorld(kept())).config, stores: [{ kind: "folder", name: "x", path: "relative", control: "file" }] }), "Cannot scan: the configuration is wrong: stores.0.path: must be an absolute path\n"],
  ["mail is to be looked for and no address is named", async () => ({ ...(await startWorld(kept())).config, email: undefined }), "Cannot scan: the configuration is wrong: email: is needed by the control `mail`\n"],
  ["two stores have one name", async () => { const { config } = await startWorld(kept()); return { ...config, stores: [config.stores[0], config.stores[0]] }; }, "Cannot scan: the configuration is wrong: stores: must have names that differ\n"],
])("canary ends with 2 and one sentence when %s", async (_, config, sentence) => {
  expect(await run(await config())).toMatchObject({ code: 2, output: sentence });
});
