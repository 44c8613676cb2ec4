import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { connect, sqlState } from "#shared/db.ts";
import { createTestDatabase } from "../support/database.ts";

const database = await createTestDatabase();
const sql = connect({ url: database.url });

afterAll(async () => {
  await sql.end();
  await database.close();
});

describe("connect()", () => {
  test("gives and gets arrays of text, whatever is in it", async () => {
    // Postgres has no text with a NUL in it.
    const word = fc.string({ unit: "binary" }).filter((text) => !text.includes("\0") && text.isWellFormed());
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(word, fc.constantFrom("", "NULL", "null", `"`, "\\", "{}", ",", " ", "a b"))), async (words) => {
        const [row] = await sql<{ words: string[]; count: number }[]>`
          select ${words}::text[] as words, cardinality(${words}::text[]) as count
        `;
        expect(row).toEqual({ words, count: words.length });
      }),
    );
  });

  test("gets other arrays as what they are, and nulls in them", async () => {
    const [row] = await sql`
      select array[true, null, false] as booleans, array[1, -2] as integers, array[9007199254740993] as bigints,
        array['0190163d-8694-739b-aea5-966c26f8ad90'::uuid] as uuids, array['a', null] as texts, '{}'::text[] as none
    `;
    expect(row).toEqual({
      booleans: [true, null, false],
      integers: [1, -2],
      bigints: [9_007_199_254_740_993n],
      uuids: ["0190163d-8694-739b-aea5-966c26f8ad90"],
      texts: ["a", null],
      none: [],
    });
  });

  test("gets bigint as bigint, and gives arrays of ids and numbers", async () => {
    const ids = ["0190163d-8694-739b-aea5-966c26f8ad90"];
    const [row] = await sql`select ${ids}::uuid[] as ids, ${[1, 2]}::integer[] as numbers, 9007199254740993 as big`;
    expect(row).toEqual({ ids, numbers: [1, 2], big: 9_007_199_254_740_993n });
  });
});

test("sqlState() is five characters of a database error, and nothing of any other", async () => {
  expect(sqlState(await sql`select 'x'::uuid`.catch((thrown) => thrown))).toBe("22P02");
  expect(sqlState(new Error("22P02"))).toBe("other");
  expect(sqlState("22P02")).toBe("other");
});
