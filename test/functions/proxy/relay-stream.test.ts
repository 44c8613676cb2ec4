import type { ServerResponse } from "node:http";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EpithreError } from "#shared/errors.ts";
import type { Call } from "../../../functions/proxy/call.ts";
import { createStreamRelay } from "../../../functions/proxy/relay-stream.ts";

interface Asked {
  includeUsage?: boolean;
  continuousUsage?: boolean;
  choices?: number;
}

function relayOf({ includeUsage = false, continuousUsage = false, choices = 1 }: Asked = {}) {
  const written: Buffer[] = [];
  let ended = false;
  const response = {
    write: (bytes: Buffer) => written.push(Buffer.from(bytes)) > 0,
    end(bytes?: string) {
      if (bytes) written.push(Buffer.from(bytes));
      ended = true;
    },
  } as unknown as ServerResponse;
  const call = {
    inspection: { includeUsage, continuousUsage, choices, prompts: 1 },
    bounds: { promptTokensMax: 1_000, completionTokensMax: 1_000, imagesMax: 0 },
    model: { contextTokens: 2_000 },
  } as Call;
  const text = () => Buffer.concat(written).toString();
  return { relay: createStreamRelay(call, response), text, ended: () => ended };
}

const usage = (completion: number) => `"usage":{"prompt_tokens":5,"total_tokens":${5 + completion},"completion_tokens":${completion}}`;
const delta = (content: string, tail = "") =>
  `data: {"id":"c","choices":[{"index":0,"delta":{"content":${JSON.stringify(content)}},"logprobs":null,"finish_reason":null}]${tail}}\n\n`;
const finish = (tail = "") => `data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]${tail}}\n\n`;
const last = (completion: number) => `data: {"id":"c","choices":[],${usage(completion)}}\n\n`;
const done = "data: [DONE]\n\n";

/** Content that tries to look like what the relay searches for. */
const tricky = ['"usage":{"prompt_tokens":9}', '"finish_reason":"stop"', "[DONE]", '\\"usage":', "é漢🙂", "data: x", '{"error":1}'];

describe("createStreamRelay()", () => {
  test("relays every byte for every split of the input, except the usage that was not asked for (content.none)", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...tricky, "a", ""), { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 10 }), (contents, cuts) => {
        const input = Buffer.from(
          contents.map((content, index) => delta(content, `,${usage(index + 1)}`)).join("") +
            finish(`,${usage(contents.length)}`) +
            last(contents.length) +
            done,
        );
        const { relay, text, ended } = relayOf();
        const places = [...new Set(cuts.map((cut) => cut % (input.length + 1)))].sort((one, other) => one - other);
        let from = 0;
        let state = "more";
        for (const to of [...places, input.length]) {
          if (state === "more") state = relay.push(input.subarray(from, to));
          from = to;
        }
        expect(state).toBe("complete");
        const before = contents.map((content) => delta(content)).join("");
        expect(text()).toBe(before);
        expect(relay.end(undefined)).toMatchObject({ source: "reported", usage: { promptTokens: 5, completionTokens: contents.length } });
        relay.finish(12);
        expect(text()).toBe(before + finish() + done);
        expect(ended()).toBe(true);
      }),
    );
  });

  test("sends the asked-for usage last, with the cost in it", () => {
    const { relay, text } = relayOf({ includeUsage: true });
    expect(relay.push(Buffer.from(delta("a", `,${usage(1)}`) + finish() + last(1) + done))).toBe("complete");
    expect(text()).toBe(delta("a"));
    relay.finish(1_500_000);
    const cost = last(1).replace('"completion_tokens":1}', '"completion_tokens":1,"cost":1.500000,"cost_micro_rupiah":1500000}');
    expect(text()).toBe(delta("a") + finish() + cost + done);
  });

  test("holds back what says complete until the charge is known (design: settlement before completion)", () => {
    const { relay, text } = relayOf({ includeUsage: true });
    relay.push(Buffer.from(delta("a") + finish() + last(1) + done));
    expect(text()).not.toMatch(/stop|usage|DONE/);
  });

  test("lets other choices go on while one is complete", () => {
    const { relay, text } = relayOf({ choices: 2 });
    relay.push(Buffer.from(finish() + delta("b")));
    expect(text()).toBe(delta("b"));
  });

  test("bills a stream that broke off by its last report, or by its chunks where there is none", () => {
    const reported = relayOf().relay;
    reported.push(Buffer.from(delta("a", `,${usage(1)}`) + delta("b", `,${usage(2)}`) + delta("c").slice(0, 20)));
    const error = new EpithreError("backend_failed", "x");
    expect(reported.end(error)).toMatchObject({ source: "reported", usage: { promptTokens: 5, completionTokens: 2 } });
    const counted = relayOf().relay;
    counted.push(Buffer.from(delta("") + delta("a") + delta("b")));
    expect(counted.end(error)).toMatchObject({ source: "counted", usage: { completionTokens: 2 } });
    expect(relayOf().relay.end(error)).toMatchObject({ source: "none", usage: { promptTokens: 0, completionTokens: 0 } });
  });

  test.each([
    ["missing", ""],
    ["negative", '"usage":{"prompt_tokens":-5,"completion_tokens":1}'],
    ["a string", '"usage":{"prompt_tokens":"5","completion_tokens":1}'],
    ["beyond the bound", '"usage":{"prompt_tokens":5,"completion_tokens":1001}'],
    ["huge", '"usage":{"prompt_tokens":5,"completion_tokens":1e300}'],
    ["fractional", '"usage":{"prompt_tokens":5,"completion_tokens":0.5}'],
  ])("never charges usage that is %s, and says so", (_, tail) => {
    const { relay } = relayOf();
    relay.push(Buffer.from(delta("a") + finish() + (tail ? `data: {"choices":[],${tail}}\n\n` : "") + done));
    expect(relay.end(undefined)).toMatchObject({ source: "invalid", usage: { promptTokens: 0, completionTokens: 0 } });
  });

  test("keeps explicit zero at zero, and takes a repeated report once", () => {
    const zero = relayOf().relay;
    zero.push(Buffer.from(delta("a") + finish() + last(0) + done));
    expect(zero.end(undefined)).toMatchObject({ source: "reported", usage: { completionTokens: 0 } });
    const twice = relayOf().relay;
    twice.push(Buffer.from(delta("a") + finish() + last(3) + last(3) + done));
    expect(twice.end(undefined)).toMatchObject({ source: "reported", usage: { completionTokens: 3 } });
  });

  test("leaves an empty usage as it is: a cost in it would be no JSON", () => {
    const { relay, text } = relayOf({ includeUsage: true });
    relay.push(Buffer.from(`${delta("a")}${finish()}data: {"choices":[],"usage":{}}\n\n${done}`));
    expect(relay.end(undefined).source).toBe("invalid");
    relay.finish(0);
    expect(text()).toContain('"usage":{}}');
  });

  test("cuts an engine that ignores its output limit", () => {
    const { relay } = relayOf();
    expect(relay.push(Buffer.from(delta("a").repeat(3_000)))).toBe("failed");
  });

  test("fails on the engine's own error, on bytes that are no text, and on an endless line", () => {
    expect(relayOf().relay.push(Buffer.from('data: {"error":{"message":"x"}}\n\n'))).toBe("failed");
    expect(relayOf().relay.push(Buffer.from('data: {"choices":[\n\n'))).toBe("failed");
    expect(relayOf().relay.push(Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0xfe, 0x0a, 0x0a]))).toBe("failed");
    expect(relayOf().relay.push(Buffer.alloc(2 * 1024 * 1024, "x"))).toBe("failed");
  });
});
