import { expect, test, vi } from "vitest";
import { createLog, type LogLine } from "#shared/log.ts";

function logged(...given: unknown[]): Record<string, unknown>[] {
  const lines: string[] = [];
  const log = createLog("billing", (line) => void lines.push(line));
  for (const line of given) log(line as LogLine);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("log() writes time, function and the fields that the schema names", () => {
  expect(logged({ at: "started", port: 8080 })).toEqual([
    { time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/), function: "billing", at: "started", port: 8080 },
  ]);
});

test("log() drops every field that the schema does not name, at any depth (content.none)", () => {
  const line = { at: "feed_stale", ageMs: 1, prompt: "canary", error: new Error("canary"), toJSON: () => "canary" };
  const [out] = logged(line);
  expect(Object.keys(out!)).toEqual(["time", "function", "at", "ageMs"]);
});

test.each([
  { at: "canary" },
  { at: "handler_failed", kind: "canary" },
  { at: "handler_failed", kind: "database", sqlState: "canary" },
  { at: "database_away", sqlState: "23505 Key (email)=(canary@example.com) already exists" },
  { at: "feed_stale", ageMs: "canary" },
  { at: "batch", rows: Number.NaN },
  new Error("canary"),
  "canary",
  undefined,
])("log() writes nothing of a line that does not fit, and says that it dropped one: %s (content.none)", (line) => {
  const out = logged(line, { at: "feed_fresh" });
  expect(out[0]).toEqual({ function: "billing", at: "line_dropped", dropped: 1 });
  expect(out[1]).toMatchObject({ at: "feed_fresh" });
});

test("log() counts the lines it dropped", () => {
  expect(logged({ at: "a" }, { at: "b" }).map(({ dropped }) => dropped)).toEqual([1, 2]);
});

test("log() writes one line to standard output unless told otherwise", () => {
  const written = vi.spyOn(console, "log").mockImplementation(() => {});
  createLog("billing")({ at: "draining" });
  expect(written.mock.calls.map(([line]) => JSON.parse(line as string))).toEqual([expect.objectContaining({ at: "draining" })]);
  written.mockRestore();
});
