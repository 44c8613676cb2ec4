import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { isProven, type Reason, replay } from "#infra/replay/replay.ts";
import { connect, type Sql } from "#shared/db.ts";
import { uuidv7 } from "#shared/ids.ts";
import { priceOf } from "#shared/pricing.ts";
import { settle } from "../../functions/usage-record/queries.ts";
import { addModel, openAccount, settlement } from "../support/accounts.ts";
import { launch } from "../support/child-process.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { addLease } from "../support/leases.ts";
import { addSlice } from "../support/purge.ts";

const rates = { inputMicro: 5_000, cachedInputMicro: 1_250, outputMicro: 20_000, imageMicro: 0 };
const hourMs = 3_600_000;

let db: TestDatabase;
let usageRecord: Sql;
let version: number;
let accountId: string;
let leaseId: string;

beforeAll(async () => {
  db = await createTestDatabase();
  usageRecord = connect({ url: db.urlFor("usage-record"), connections: 1 });
  await addModel(db.sql, "other-chat");
  await db.sql`select create_model('test-chat', 'chat', 8192, 4096, 64, 0)`;
  version = await addPrice("-3 hours", rates.inputMicro);
});
afterAll(async () => {
  await usageRecord.end();
  await db.close();
});
beforeEach(async () => {
  await db.sql`truncate usage_events, operator_losses`;
  accountId = await openAccount(db.sql, 1_000_000_000);
  leaseId = await lease(500_000_000);
});

async function addPrice(when: string, inputMicro: number): Promise<number> {
  const [row] = await db.sql<{ version: number }[]>`
    select create_price('test-chat', now() + ${when}::interval, ${inputMicro}::bigint, ${rates.cachedInputMicro}::bigint, ${rates.outputMicro}::bigint, 0) as version
  `;
  return row!.version;
}

const lease = (micro: number) => addLease(db.sql, accountId, micro);

/** One settled request, at its price unless told otherwise. */
function ended(given: Partial<Parameters<typeof settlement>[0]> = {}) {
  const used = settlement({ accountId, leaseId, priceVersion: version, ...given });
  return { ...used, costMicro: given.costMicro ?? priceOf(used, rates) };
}

const charge = (...batch: ReturnType<typeof ended>[]) => settle(usageRecord, batch);

async function unexplained(): Promise<Partial<Record<Reason, number>>> {
  const found = await replay(db.sql, 3);
  expect(isProven(found)).toBe(Object.values(found.unexplained).every((count) => count === 0));
  return Object.fromEntries(Object.entries(found.unexplained).filter(([, count]) => count > 0));
}

describe("replay()", () => {
  test("proves charges of whatever quantities, page by page", async () => {
    const count = fc.nat(100);
    const quantities = fc.sample(fc.record({ prompt: count, cached: count, completionTokens: count, images: fc.nat(3) }), { numRuns: 20, seed: 7 });
    await charge(
      ...quantities.map(({ prompt, cached, ...others }) => ended({ promptTokens: prompt + cached, cachedTokens: cached, ...others })),
    );
    for (const rowsMax of [1, 3, 20, 100]) {
      const found = await replay(db.sql, rowsMax);
      expect(found).toMatchObject({ checked: 20, exact: 20, operatorLoss: { events: 0, micro: 0 } });
      expect(isProven(found)).toBe(true);
    }
  });

  test("finds a charge that is one micro-rupiah off, whichever way, and names its request", async () => {
    const above = ended({ requestId: uuidv7(Date.now() - 5) });
    const below = ended();
    await charge(ended(), { ...above, costMicro: above.costMicro + 1 }, { ...below, costMicro: below.costMicro - 1 });
    expect(await unexplained()).toEqual({ above_price: 1, below_price: 1 });
    const { examples } = await replay(db.sql);
    expect([examples.above_price, examples.below_price]).toEqual([[above.requestId], [below.requestId]]);
  });

  test("explains what is below the price by the operator's losses, of that model and no other, to the micro-rupiah", async () => {
    leaseId = await lease(100);
    await db.sql`update balances set consumed_micro = credited_micro - leased_micro where account_id = ${accountId}`;
    const [answer] = await charge(ended());
    expect(answer!.chargedMicro).toBe(100);
    const whole = priceOf(ended(), rates);
    const found = await replay(db.sql);
    expect(found.operatorLoss).toEqual({ events: 1, micro: whole - 100 });
    expect(isProven(found)).toBe(true);
    await db.sql`update operator_losses set loss_micro = loss_micro - 1`;
    expect(await unexplained()).toEqual({ below_price: 1 });
    await db.sql`update operator_losses set loss_micro = loss_micro + 1, model_id = (select id from models where name = 'other-chat')`;
    expect(await unexplained()).toEqual({ below_price: 1 });
  });

  test("takes a loss that was booked a day after the request, and uses it once", async () => {
    const older = await addPrice("-2 days", rates.inputMicro);
    await charge(ended({ costMicro: 0 }));
    const whole = priceOf(ended(), rates);
    await db.sql`
      insert into operator_losses (day, model_id, requests, loss_micro)
      select (now() at time zone 'UTC')::date + 1, id, 1, ${whole}::bigint from models where name = 'test-chat'
    `;
    expect(await unexplained()).toEqual({});
    await db.sql`update operator_losses set day = day - 1`;
    expect(await unexplained()).toEqual({});
    await addSlice(db.sql, "26 hours");
    // The same again on the day before: the one loss could be either's, and is not both's.
    await db.sql`
      insert into usage_events select (jsonb_populate_record(u, jsonb_build_object('id', uuidv7(interval '-26 hours'), 'price_version', ${older}::integer))).*
      from usage_events u
    `;
    expect(await unexplained()).toEqual({ below_price: 1 });
    await db.sql`update operator_losses set day = day + 1`;
    expect(await unexplained()).toEqual({ below_price: 1 });
    await db.sql`update operator_losses set day = day + 1`;
    expect(await unexplained()).toEqual({ below_price: 2 });
  });

  test("knows a price that there is not, of another model, and one that was not in force", async () => {
    const [other] = await db.sql<{ version: number }[]>`select p.version from prices p join models m on m.id = p.model_id where m.name = 'other-chat'`;
    const later = await addPrice("-1 hour", rates.inputMicro);
    const twoHoursAgo = uuidv7(Date.now() - 2 * hourMs);
    await charge(
      ended({ priceVersion: 999_999 }),
      ended({ priceVersion: other!.version }),
      // The old price an hour after the new one, and the new one an hour before its time.
      ended({ priceVersion: version }),
      ended({ priceVersion: later, requestId: twoHoursAgo }),
      // Right: the old one before, a call that began before the new one and ended after, and the new one.
      ended({ priceVersion: version, requestId: uuidv7(Date.now() - 2 * hourMs) }),
      ended({ priceVersion: later, requestId: uuidv7(Date.now() - hourMs - 120_000), latencyMs: 180_000 }),
      ended({ priceVersion: later }),
    );
    expect(await unexplained()).toEqual({ unknown_price: 1, price_of_another_model: 1, price_not_in_force: 2 });
    version = later;
  });

  test("proves images by the line that the event names, which is a version of its own", async () => {
    await db.sql`select create_model('test-image', 'image', 8192, 0, 0, 0)`;
    const [price] = await db.sql<{ version: number; line: number }[]>`
      with price as materialized (select create_price('test-image', now() - interval '1 minute', 0, 0, 0, 500) as version)
      select version, create_price_line(version, '512x512', null, 100) as line from price
    `;
    const images = { model: "test-image", endpoint: "images.generations" as const, promptTokens: 0, completionTokens: 0, images: 2 };
    await charge(
      ended({ ...images, priceVersion: price!.version, costMicro: 1_000 }),
      ended({ ...images, priceVersion: price!.line, costMicro: 200 }),
      ended({ ...images, priceVersion: price!.line, costMicro: 1_000 }),
    );
    expect(await unexplained()).toEqual({ above_price: 1 });
  });
});

describe("npm run replay", () => {
  const main = fileURLToPath(new URL("../../infra/replay/main.ts", import.meta.url));
  const run = async (...options: string[]) => {
    const { output, code } = launch([process.execPath, main, ...options]);
    return { code: await code, output: output() };
  };

  test("ends with 0 when all is proven, 1 when not, 2 when it cannot look, and says what it found", async () => {
    await charge(ended());
    const proven = await run("--database", db.url, "--json");
    expect(proven.code).toBe(0);
    expect(JSON.parse(proven.output)).toMatchObject({ checked: 1, exact: 1 });
    const wrong = ended();
    await charge({ ...wrong, costMicro: 1 });
    const { code, output } = await run("--database", db.url);
    expect(code).toBe(1);
    expect(output).toContain(`1 NOT PROVEN: charged less than the price, and no operator's loss says why\n    ${wrong.requestId}`);
    expect(await run("--data", "/nowhere")).toEqual({ code: 2, output: expect.stringContaining("no stack runs on /nowhere") });
    expect(await run("--databse", "x")).toMatchObject({ code: 2 });
    expect(await run("--database", "postgres://nobody:nothing@127.0.0.1:1/none")).toEqual({
      code: 2,
      output: "Cannot replay: the database does not answer, refuses this login, or lacks the tables of Epithre\n",
    });
  });
});
