import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect, type Sql } from "#shared/db.ts";
import { createSingleFlight } from "#shared/single-flight.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

let db: TestDatabase;
const open = (): Sql => connect({ url: db.urlFor("notify"), connections: 1 });

beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.close());

describe("createSingleFlight()", () => {
  test("does one work at a time, here and elsewhere, and the next when it has ended", async () => {
    const [here, elsewhere] = [createSingleFlight(open, "work"), createSingleFlight(open, "work")];
    const [began, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const first = here(async () => {
      began.resolve();
      await mayEnd.promise;
      return "first";
    });
    await began.promise;
    expect(await here(async () => "second")).toBeUndefined();
    expect(await elsewhere(async () => "third")).toBeUndefined();
    expect(await createSingleFlight(open, "other work")(async () => "fourth")).toBe("fourth");
    mayEnd.resolve();
    expect(await first).toBe("first");
    expect(await elsewhere(async () => "fifth")).toBe("fifth");
  });

  test("ends with an error when its connection is cut, and does the next work", async () => {
    const exclusively = createSingleFlight(open, "work");
    for (let cut = 0; cut < 10; cut += 1) {
      const work = exclusively(async (connection) => {
        const [{ pid }] = (await connection`select pg_backend_pid() as pid`) as unknown as [{ pid: number }];
        await Promise.all([connection`select pg_sleep(60)`, db.sql`select pg_terminate_backend(${pid})`]);
      });
      await expect(work).rejects.toThrow();
      expect(await exclusively(async () => "done")).toBe("done");
    }
  });

  test("throws while the database is away, and works again once it is back", async () => {
    let isAway = true;
    const exclusively = createSingleFlight(
      () => (isAway ? connect({ url: "postgres://nobody:nothing@127.0.0.1:1/none", connections: 1 }) : open()),
      "work",
    );
    await expect(exclusively(async () => "done")).rejects.toThrow();
    isAway = false;
    expect(await exclusively(async () => "done")).toBe("done");
  });
});
