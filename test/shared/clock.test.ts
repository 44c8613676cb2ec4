import { expect, test } from "vitest";
import { createDatabaseClock, systemClock } from "#shared/clock.ts";

test("createDatabaseClock() names this machine's time until it is corrected, then follows the database's", () => {
  let monotonicMs = 1_000;
  let wallMs = 50_000;
  const clock = createDatabaseClock({ monotonicMs: () => monotonicMs, wallMs: () => wallMs });
  expect(clock.wallMs()).toBe(50_000);
  clock.correct(70_000);
  expect(clock.wallMs()).toBe(70_000);
  monotonicMs += 250;
  // This machine's clock is set back: neither span nor moment notices.
  wallMs = 0;
  expect(clock.wallMs()).toBe(70_250);
  expect(clock.monotonicMs()).toBe(1_250);
  clock.correct(70_200);
  expect(clock.wallMs()).toBe(70_200);
});

test("systemClock measures spans that never shrink", () => {
  const first = systemClock.monotonicMs();
  expect(systemClock.monotonicMs()).toBeGreaterThanOrEqual(first);
  expect(systemClock.wallMs()).toBeGreaterThan(Date.UTC(2026));
});
