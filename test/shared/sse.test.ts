import fc from "fast-check";
import { expect, test } from "vitest";
import { createEventSplitter, dataRange } from "#shared/sse.ts";

const line = fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => text.replace(/[\r\n]/g, ""));
const event = fc.tuple(fc.array(line, { minLength: 1, maxLength: 3 }), fc.constantFrom("\n", "\r\n")).map(
  ([lines, end]) => lines.map((text) => `data: ${text}x${end}`).join("") + end,
);

test("createEventSplitter() hands out the same events however the bytes are cut", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 12 }), (events, cuts) => {
      const bytes = Buffer.from(events.join(""));
      const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((one, other) => one - other);
      const splitter = createEventSplitter(10_000);
      const out: string[] = [];
      let from = 0;
      for (const to of [...places, bytes.length]) {
        const batch = splitter.push(bytes.subarray(from, to));
        for (const { start, end } of batch.events) out.push(batch.bytes.toString("utf8", start, end));
        from = to;
      }
      expect(out).toEqual(events);
      expect(splitter.pendingBytes).toBe(0);
    }),
  );
});

test("createEventSplitter() refuses an endless line", () => {
  const splitter = createEventSplitter(1_000);
  splitter.push(Buffer.alloc(900, "a"));
  expect(() => splitter.push(Buffer.alloc(200, "a"))).toThrow(RangeError);
});

test.each([
  ["data: {}\n\n", "{}"],
  ["data:{}\r\n\r\n", "{}"],
  ["event: message\ndata: [DONE]\nid: 4\n\n", "[DONE]"],
])("dataRange() finds the data of %j", (event, data) => {
  const text = `data: before\n\n${event}data: after\n\n`;
  const start = "data: before\n\n".length;
  const range = dataRange(text, start, start + event.length);
  expect(typeof range === "object" && text.slice(range.start, range.end)).toBe(data);
});

test("dataRange() tells comments from data in several lines", () => {
  expect(dataRange(": ping\n\n", 0, 8)).toBe("none");
  expect(dataRange("data: {\ndata: }\n\n", 0, 17)).toBe("several");
});
