/** Receipts as a customer gets them: calls through the whole product, its usage log, and the script that verifies offline. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { launch } from "../support/child-process.ts";
import { newCustomer, settled, sharedStack, type Customer } from "../support/shared-stack.ts";
import type { Stack } from "../support/stack.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { chatBody, inParallel, send } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";

let stack: Stack;
let customer: Customer;

beforeAll(async () => {
  stack = sharedStack();
  await stack.engine.reset();
  customer = await newCustomer(stack);
});
afterAll(() => stack.close());

const get = (path: string) => fetch(stack.url + path, { headers: { authorization: `Bearer ${customer.key}` } });

/** As the documentation says. */
async function verify(...parameters: string[]) {
  const { code, output } = launch(["npm", "run", "--silent", "verify-receipt", "--", ...parameters]);
  return { code: await code, output: output().trim() };
}

it("a call's receipt, its row of the usage log and the whole log verify offline, and not after a change (right.export)", async () => {
  const { data, response } = await customer.client.chat.completions
    .create({ model: "simulated-chat", messages: [{ role: "user", content: "one call" }] })
    .withResponse();
  await inParallel(Array.from({ length: 60 }), 8, () => send({ url: stack.url, key: customer.key, body: chatBody("another") }));
  await settled(stack);
  const id = response.headers.get("x-request-id")!;

  const folder = temporaryFolder();
  const save = async (name: string, answer: Response) => {
    expect([name, answer.status]).toEqual([name, 200]);
    writeFileSync(join(folder, name), Buffer.from(await answer.arrayBuffer()));
    return join(folder, name);
  };
  const keys = await save("keys.json", await fetch(`${stack.url}/.well-known/epithre-receipt-keys.json`));
  const call = await save("call.json", await get(`/v1/usage/${id}`));
  const log = await get("/v1/usage.csv");
  const receiptPath = /<([^>]+)>/.exec(log.headers.get("link")!)![1]!;
  const csv = await save("usage.csv", log);
  const receipt = await save("receipt.json", await get(receiptPath));
  const rowReceipt = await save("row.json", await get(`${receiptPath}?row=${id}`));

  const { cost_micro_rupiah: costMicro } = data.usage as unknown as { cost_micro_rupiah: number };
  const shown = JSON.parse(readFileSync(call, "utf8")) as { cost_rupiah: string; prompt_tokens: number };
  expect([Number(shown.cost_rupiah.replace(".", "")), shown.prompt_tokens]).toEqual([costMicro, data.usage!.prompt_tokens]);

  expect(await verify("--receipt", call, "--keys", keys)).toMatchObject({ code: 0, output: expect.stringContaining(`Valid: request ${id} cost ${shown.cost_rupiah} rupiah`) });
  expect(await verify("--csv", csv, "--receipt", receipt, "--keys", keys)).toMatchObject({ code: 0, output: expect.stringContaining("Valid: all 61 rows") });
  expect(await verify("--csv", csv, "--receipt", rowReceipt, "--keys", keys, "--row", id)).toMatchObject({ code: 0, output: expect.stringContaining("Valid: one row of 61") });

  // The same as a file that is built in the background, by the schedule's call.
  const post = (path: string, body?: string) => fetch(stack.url + path, { method: "POST", headers: { authorization: `Bearer ${customer.key}` }, body });
  const { id: fileId } = (await (await post("/v1/usage/exports", '{"model": "simulated-chat"}')).json()) as { id: string };
  await waitFor("the file", async () => {
    await fetch(`${stack.url}/function/export`, { method: "POST" });
    return ((await (await get(`/v1/usage/exports/${fileId}`)).json()) as { status: string }).status === "ready";
  });
  const link = (await (await post(`/v1/usage/exports/${fileId}/link`)).json()) as { path: string };
  const file = await save("file.csv", await fetch(stack.url + link.path));
  const fileReceipt = await save("file.json", await get(`/v1/usage/exports/${fileId}/receipt`));
  expect(readFileSync(file, "utf8")).toBe(readFileSync(csv, "utf8"));
  expect(await verify("--csv", file, "--receipt", fileReceipt, "--keys", keys, "--row", id)).toMatchObject({ code: 0, output: expect.stringContaining(`Valid: request ${id} and all other of 61 rows`) });

  const summary = (await (await get("/v1/usage?group_by=day,model")).json()) as { data: unknown[]; total: { requests: number; cost_rupiah: string } };
  const costs = readFileSync(csv, "utf8").trim().split("\r\n").slice(1).map((row) => BigInt(row.split(",")[11]!.replace(".", "")));
  expect([summary.total.requests, BigInt(summary.total.cost_rupiah.replace(".", ""))]).toEqual([61, costs.reduce((sum, cost) => sum + cost)]);

  const cheaper = join(folder, "cheaper.csv");
  writeFileSync(cheaper, readFileSync(csv, "utf8").replace(`,${shown.cost_rupiah},`, ",0.000001,"));
  for (const file of [receipt, rowReceipt]) {
    expect(await verify("--csv", cheaper, "--receipt", file, "--keys", keys, "--row", id)).toMatchObject({ code: 1, output: expect.stringContaining("NOT valid") });
  }
}, 60_000);
