import { afterEach, describe, expect, test } from "vitest";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import type { SlicesAnswer } from "../../../functions/key-auth/schema.ts";
import { createRateSlices, type Rate, type RateSlices } from "../../../functions/proxy/rate-slices.ts";

type Slice = SlicesAnswer["slices"][number];

interface Line {
  keyId: string;
  unit: string;
  first: number;
  waiting: number;
  ahead: number;
  corrections: { ageS: number; amount: number }[];
}

let slices: RateSlices | undefined;
afterEach(() => slices?.close());

const rate: Rate = { keyId: "019a0000-0000-7000-8000-000000000002", unit: "requests", perMinute: 6_000 };

/** key-auth as a plain function: `answer` decides, what was asked is kept. */
function harness(answer: (line: Line, call: number) => Partial<Slice>) {
  let nowMs = 1_000_000;
  const asked: Line[] = [];
  let away = false;
  const keyAuth = {
    async post(_path: string, body: { slices: Line[] }) {
      asked.push(...body.slices);
      if (away) throw new EpithreError("unavailable", "away");
      return { slices: body.slices.map((line) => ({ granted: 0, remaining: 0, waitMs: 0, resetMs: 60_000, ...answer(line, asked.length) })) };
    },
    async close() {},
  } as unknown as InternalClient;
  slices = createRateSlices({ keyAuth, clock: { monotonicMs: () => nowMs, wallMs: () => nowMs } });
  return { slices, asked, pass: (ms: number) => (nowMs += ms), goAway: (is: boolean) => (away = is) };
}

/** As the database does it: what waits, and up to 60 more. */
const ample = ({ waiting, ahead }: Line) => ({ granted: waiting + Math.min(ahead, 60) });
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("createRateSlices()", () => {
  test("asks once, then takes in memory, and asks ahead before the slice is used up", async () => {
    const { slices, asked } = harness(ample);
    expect(await slices.take(rate, 1)).toBe(0);
    expect(asked).toMatchObject([{ first: 1, waiting: 1, ahead: 8 }]);
    for (let index = 0; index < 200; index += 1) {
      expect(slices.take(rate, 1)).toBe(0);
      await turn();
    }
    // Each slice twice as large while they do not last, up to what is granted.
    expect(asked.map(({ first }) => first)).toEqual([1, ...asked.slice(1).map(() => 0)]);
    expect(asked.map(({ ahead }) => ahead).slice(0, 4)).toEqual([8, 16, 32, 64]);
    expect(asked.length).toBeLessThan(12);
  });

  test("asks for each taking while nothing is granted ahead", async () => {
    const { slices, asked } = harness(({ waiting }) => ({ granted: waiting }));
    for (let index = 0; index < 5; index += 1) expect(await slices.take(rate, 1)).toBe(0);
    expect(asked).toHaveLength(5);
  });

  test("asks for all that wait at once, and tells each in turn", async () => {
    const { slices, asked } = harness((line, call) => (call === 1 ? { granted: 3 } : { waitMs: 30_000 }));
    const waits = await Promise.all(Array.from({ length: 5 }, () => slices.take(rate, 1)));
    expect(waits).toEqual([0, 0, 0, 30_000, 30_000]);
    expect(asked).toMatchObject([{ first: 1, waiting: 5 }, { first: 1, waiting: 2 }]);
  });

  test("a refusal stands for a moment here, then key-auth is asked again; a smaller taking may still fit", async () => {
    const { slices, asked, pass } = harness(({ first }) => (first > 10 ? { waitMs: 20_000 } : { granted: first }));
    expect(await slices.take(rate, 50)).toBe(20_000);
    pass(100);
    expect(slices.take(rate, 60)).toBe(19_900);
    expect(await slices.take(rate, 5)).toBe(0);
    pass(151);
    expect(await slices.take(rate, 50)).toBe(20_000);
    expect(asked.map(({ first }) => first)).toEqual([50, 5, 50]);
  });

  test("what was used less or more than taken is reported, with the second that it was taken in", async () => {
    const { slices, asked, pass } = harness(ample);
    const tokens = { ...rate, unit: "tokens" as const };
    await slices.take(tokens, 100);
    slices.correct(tokens, -80, 1_000_000);
    pass(10_000);
    slices.correct(tokens, -5, 1_000_000);
    slices.correct(tokens, 30, 1_000_000);
    await expect.poll(() => asked.flatMap(({ corrections }) => corrections)).toContainEqual({ ageS: 10, amount: -85 - 60 });
    expect(asked.flatMap(({ corrections }) => corrections)).toContainEqual({ ageS: 0, amount: 30 });
    pass(60_000);
    slices.correct(tokens, -5, 1_010_000);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(asked.flatMap(({ corrections }) => corrections)).toHaveLength(2);
  });

  test("still asks ahead after a report in which it asked for nothing", async () => {
    const { slices, asked, pass } = harness(ample);
    await slices.take(rate, 1);
    slices.correct(rate, 3, 1_000_000);
    await expect.poll(() => asked.length).toBe(2);
    expect(asked[1]).toMatchObject({ waiting: 0, ahead: 0 });
    pass(500);
    for (let index = 0; index < 100; index += 1) {
      expect(slices.take(rate, 1)).toBe(0);
      await turn();
    }
  });

  test("gives a slice back that lies for seconds, once", async () => {
    const { slices, asked, pass } = harness(ample);
    await slices.take(rate, 1);
    pass(5_000);
    await expect.poll(() => asked.at(-1)!.corrections).toEqual([{ ageS: 5, amount: -8 }]);
    expect(slices.take(rate, 1)).toBeInstanceOf(Promise);
  });

  test("gives the slice of another limit back at once", async () => {
    const { slices, asked } = harness(ample);
    await slices.take(rate, 1);
    expect(slices.take({ ...rate, perMinute: 3 }, 1)).toBeInstanceOf(Promise);
    await turn();
    expect(asked.at(-1)).toMatchObject({ first: 1, ahead: 3, corrections: [{ ageS: 0, amount: -8 }] });
  });

  test("grants nothing while key-auth is away; what was used is reported later, what was given back may be lost", async () => {
    const { slices, asked, goAway } = harness(ample);
    await slices.take(rate, 1);
    slices.correct(rate, -2, 990_000);
    slices.correct(rate, 7, 1_000_000);
    goAway(true);
    await expect(Promise.resolve(slices.take(rate, 5_000))).rejects.toMatchObject({ kind: "unavailable", detail: { retryAfterS: 1 } });
    // What is here can still be used.
    expect(slices.take(rate, 1)).toBe(0);
    goAway(false);
    await expect.poll(() => asked.at(-1)!.corrections).toEqual([{ ageS: 0, amount: 7 }]);
  });

  test("knows what is left in slices and beyond, and when all of it will be", async () => {
    const { slices, pass } = harness((line) => ({ ...ample(line), remaining: 5_000 }));
    expect(slices.stateOf(rate)).toEqual({ remaining: 6_000, resetMs: 0 });
    await slices.take(rate, 1);
    pass(1_000);
    expect(slices.stateOf(rate)).toEqual({ remaining: 5_008, resetMs: 59_000 });
  });

  test("gives back what is here when it closes", async () => {
    const { slices, asked } = harness(ample);
    await slices.take(rate, 1);
    await slices.close();
    expect(asked.at(-1)).toMatchObject({ first: 0, waiting: 0, ahead: 0, corrections: [{ ageS: 0, amount: -8 }] });
  });
});
