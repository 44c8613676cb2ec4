import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EpithreError } from "#shared/errors.ts";
import type { Model, Price } from "../../../functions/billing/schema.ts";
import { admit, bodyFor, clamp, costMicro } from "../../../functions/proxy/call.ts";
import { inspect } from "../../../functions/proxy/inspection.ts";
import { routeOf, type Endpoint } from "../../../functions/proxy/routes.ts";

function endpoint(path: string): Endpoint {
  const route = routeOf("POST", path);
  if (route.to !== "inference") throw new Error("no inference route");
  return route.endpoint;
}

const chat = endpoint("/v1/chat/completions");
const price: Price = { version: 1, effectiveAtMs: 0, inputMicro: 3, cachedInputMicro: 1, outputMicro: 7, imageMicro: 1_000, lines: [] };
const model: Model = {
  id: "m",
  kind: "chat",
  createdAtMs: 0,
  contextTokens: 1_000,
  outputTokensMax: 200,
  templateTokens: 10,
  imageTokensMax: 50,
  enabled: true,
  retirement: null,
  prices: [price],
};

function read(body: unknown, at: Endpoint = chat) {
  return inspect(at, Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), "application/json");
}

function thrownBy(action: () => unknown): EpithreError {
  try {
    action();
  } catch (thrown) {
    if (thrown instanceof EpithreError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}

const messages = [{ role: "user", content: "halo" }];

describe("inspect()", () => {
  test.each([
    ["{", "invalid_json", undefined],
    ["[]", "invalid_json", undefined],
    ['{"model":"m","model":"n","messages":[]}', "invalid_request", undefined],
    ['{"model"', "invalid_json", undefined],
    ['{"model" "m"}', "invalid_json", undefined],
    ['{"model":"m"} x', "invalid_json", undefined],
    [Object.fromEntries(Array.from({ length: 1_001 }, (_, index) => [`field${index}`, 1])), "invalid_json", undefined],
    [{ messages }, "invalid_request", "model"],
    [{ model: "m" }, "invalid_request", "messages"],
    [{ model: "m", messages: "hi" }, "invalid_request", "messages"],
    [{ model: "m", messages: [{ content: "x" }] }, "invalid_request", "messages.0.role"],
    [{ model: "m", messages, max_tokens: -1 }, "invalid_request", "max_tokens"],
    [{ model: "m", messages, max_tokens: "5" }, "invalid_request", "max_tokens"],
    [{ model: "m", messages, n: 1_000_000 }, "invalid_request", "n"],
    [{ model: "m", messages, temperature: "hot" }, "invalid_request", "temperature"],
    [{ model: "m", messages, store: true }, "zero_retention", "store"],
    [
      { model: "m", messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "https://example.com/a.png" } }] }] },
      "remote_image",
      "messages.0.content",
    ],
    [{ model: "m", messages: [{ role: "user", content: [{ type: "file", file: { file_id: "f" } }] }] }, "zero_retention", "messages.0.content"],
  ])("refuses %j as %s naming the field", (body, kind, param) => {
    const error = thrownBy(() => read(body));
    expect(error.kind).toBe(kind);
    expect(error.detail.param).toBe(param);
  });

  test.each(["n", "best_of", "max_tokens", "max_completion_tokens"])("checks %s on every endpoint: it decides the worst case", (field) => {
    const bodies: Record<string, object> = {
      "/v1/chat/completions": { model: "m", messages },
      "/v1/completions": { model: "m", prompt: "x" },
      "/v1/embeddings": { model: "m", input: "x" },
      "/v1/images/generations": { model: "m", prompt: "x" },
    };
    for (const [path, body] of Object.entries(bodies)) {
      for (const wrong of ["x", -1, 0.5, 1e300, [2]]) {
        expect(thrownBy(() => read({ ...body, [field]: wrong }, endpoint(path))).detail.param).toBe(field);
      }
    }
  });

  test("bounds video and sound by the context, and takes no template of the caller's", () => {
    const sound = { type: "input_audio", input_audio: { data: "QUJD", format: "wav" } };
    const call = admit(chat, model, price, read({ model: "m", messages: [{ role: "user", content: [sound] }] }));
    expect(call.bounds.promptTokensMax).toBe(1_000);
    const templates = { chat_template: "{% for i in range(99999) %}x{% endfor %}" };
    expect(thrownBy(() => read({ model: "m", messages, chat_template_kwargs: templates })).detail.param).toBe("chat_template_kwargs");
    read({ model: "m", messages, chat_template_kwargs: { enable_thinking: false } });
  });

  test.each([
    ['Content-Disposition: form-data; name="style"; name="n"', "two names"],
    ["Content-Disposition: form-data; name=\"style\"; name*=utf-8''n", "a name in another form"],
    ['Content-Disposition: form-data; name="style"\r\nContent-Disposition: form-data; name="n"', "two lines"],
    ['Content-Disposition: form-data; name="n"; filename=""', "an empty file name"],
    ['Content-Disposition: form-data; name="other"; filename="a"', "a file in another field"],
  ])("refuses a form whose parts readers could take for others: %s", (head) => {
    const parts = ['form-data; name="model"\r\n\r\nm', 'form-data; name="prompt"\r\n\r\nx', 'form-data; name="image"; filename="a.png"\r\n\r\nPNG'];
    const bytes = Buffer.from(`${parts.map((part) => `--A\r\nContent-Disposition: ${part}\r\n`).join("")}--A\r\n${head}\r\n\r\n16\r\n--A--\r\n`);
    expect(thrownBy(() => inspect(endpoint("/v1/images/edits"), bytes, "multipart/form-data; boundary=A")).status).toBe(400);
  });

  test("refuses a form with a boundary inside a part, and a type with two boundaries", () => {
    const edits = endpoint("/v1/images/edits");
    const bytes = Buffer.from('--A\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\n--A\n\r\n--A--\r\n');
    expect(thrownBy(() => inspect(edits, bytes, "multipart/form-data; boundary=A")).status).toBe(400);
    expect(thrownBy(() => inspect(edits, bytes, "multipart/form-data; boundary=A; boundary=B")).status).toBe(415);
  });

  test("never quotes the caller's text in an error (content.none)", () => {
    const secret = "canary-5fd1";
    for (const body of [`{"a": "${secret}`, { model: secret, messages: [{ role: secret.repeat(9), content: 1 }] }, { model: { [secret]: secret } }]) {
      expect(thrownBy(() => read(body)).message).not.toContain(secret);
    }
  });

  test("counts inline pictures apart from the text they stand in", () => {
    const url = `data:image/png;base64,${"A".repeat(500)}`;
    const body = { model: "m", messages: [{ role: "user", content: [{ type: "text", text: "?" }, { type: "image_url", image_url: { url } }] }] };
    const read1 = read(body);
    expect(read1.media).toBe(1);
    expect(read1.textBytes).toBe(JSON.stringify(body).length - url.length);
  });

  test("reads a form's fields and refuses one without a picture", () => {
    const edits = endpoint("/v1/images/edits");
    const form = (parts: string[]) => Buffer.from(parts.map((part) => `--b\r\n${part}\r\n`).join("") + "--b--\r\n");
    const field = (name: string, value: string) => `Content-Disposition: form-data; name="${name}"\r\n\r\n${value}`;
    const file = `Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\nPNG`;
    const type = "multipart/form-data; boundary=b";
    const good = form([field("model", "m"), field("prompt", "x"), file, field("n", "2")]);
    const read2 = inspect(edits, good, type);
    expect(read2).toMatchObject({ model: "m", choices: 2, media: 1 });
    expect(thrownBy(() => inspect(edits, form([field("model", "m"), field("prompt", "x")]), type)).detail.param).toBe("image");
    expect(thrownBy(() => inspect(edits, form([field("n", "x"), field("model", "m"), field("prompt", "x"), file]), type)).detail.param).toBe("n");
    expect(thrownBy(() => inspect(edits, good, "multipart/form-data")).status).toBe(415);
    expect(thrownBy(() => inspect(edits, good.subarray(0, 40), type)).status).toBe(400);

    const call = admit(edits, { ...model, kind: "image" }, price, read2);
    const user = form([field("model", "m"), field("user", "someone"), field("prompt", "x"), file]);
    const forwarded = bodyFor(admit(edits, { ...model, kind: "image" }, price, inspect(edits, user, type)), user, "vllm", "salt");
    expect(forwarded.ignoredFields).toBe(1);
    expect(forwarded.bytes.toString()).not.toContain("someone");
    expect(inspect(edits, forwarded.bytes, type).members.map(({ key }) => key)).toEqual(["model", "prompt", "image", "response_format"]);
    expect(call.bounds.imagesMax).toBe(2);
  });
});

describe("admit()", () => {
  test("bounds the cost by bytes, template, choices and the output limit", () => {
    const body = { model: "m", messages, max_tokens: 20, n: 3 };
    const call = admit(chat, model, price, read(body));
    const prompt = JSON.stringify(body).length + 10;
    expect(call.bounds).toEqual({ promptTokensMax: prompt, completionTokensMax: 60, imagesMax: 0 });
    expect(call.holdMicro).toBe(prompt * 3 + 60 * 7);
  });

  test("uses the context as the bound of a longer prompt", () => {
    const call = admit(chat, model, price, read({ model: "m", messages: [{ role: "user", content: "x".repeat(5_000) }] }));
    expect(call.bounds.promptTokensMax).toBe(1_000);
  });

  test("refuses more output than the model has", () => {
    expect(thrownBy(() => admit(chat, model, price, read({ model: "m", messages, max_tokens: 201 }))).kind).toBe("context_length_exceeded");
  });

  test("never prices a request above its hold, whatever was used", () => {
    const tokens = fc.nat(100_000);
    fc.assert(
      fc.property(tokens, tokens, tokens, (promptTokens, completionTokens, cached) => {
        const call = admit(chat, model, price, read({ model: "m", messages }));
        const cachedTokens = Math.min(cached, promptTokens);
        const cost = costMicro(call, { promptTokens, completionTokens, cachedTokens, reasoningTokens: 0, images: 0 });
        expect(cost).toBeLessThanOrEqual(call.holdMicro);
        expect(Number.isSafeInteger(cost)).toBe(true);
      }),
    );
  });
});

describe("clamp()", () => {
  test("finds the largest output limit that the money pays for, and none below one token", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 4 }), fc.nat(6_000), (limit, n, microMax) => {
        const call = admit(chat, model, price, read({ model: "m", messages, max_tokens: limit, n }));
        const clamped = clamp(call, microMax);
        const promptMicro = call.holdMicro - limit * n * price.outputMicro;
        if (!clamped) expect(microMax).toBeLessThan(promptMicro + n * price.outputMicro);
        else {
          expect(clamped.holdMicro).toBeLessThanOrEqual(microMax);
          expect(clamped.holdMicro).toBe(promptMicro + clamped.outputLimit! * n * price.outputMicro);
          expect(clamped.bounds.completionTokensMax).toBe(clamped.outputLimit! * n);
          if (clamped.outputLimit! < limit) expect(clamped.holdMicro + n * price.outputMicro).toBeGreaterThan(microMax);
          else expect(clamped).toBe(call);
        }
      }),
    );
  });
});

describe("bodyFor()", () => {
  function forwarded(body: unknown, type: "vllm" | "openai" = "vllm") {
    const text = JSON.stringify(body);
    const { bytes, ignoredFields } = bodyFor(admit(chat, model, price, read(body)), Buffer.from(text), type, "salt");
    return { body: JSON.parse(bytes.toString()) as Record<string, unknown>, ignoredFields };
  }

  test("always writes the output limit (design: the bound must hold)", () => {
    expect(forwarded({ model: "m", messages }).body.max_tokens).toBe(200);
    expect(forwarded({ model: "m", messages, max_tokens: null }).body.max_tokens).toBe(200);
    const other = forwarded({ model: "m", messages, max_completion_tokens: 9 }).body;
    expect(other).toMatchObject({ max_tokens: 9 });
    expect(other).not.toHaveProperty("max_completion_tokens");
    const both = forwarded({ model: "m", messages, max_tokens: 11, max_completion_tokens: 9 }).body;
    expect(both).toMatchObject({ max_tokens: 9 });
    expect(both).not.toHaveProperty("max_completion_tokens");
  });

  test("writes the limit of a completion too, by the one name that every engine reads", () => {
    const completions = endpoint("/v1/completions");
    const body = { model: "m", prompt: "x", max_completion_tokens: 1 };
    const { bytes } = bodyFor(admit(completions, model, price, read(body, completions)), Buffer.from(JSON.stringify(body)), "vllm", "salt");
    expect(JSON.parse(bytes.toString()).max_tokens).toBe(1);
  });

  test("drops what no engine should see and counts it (content.none)", () => {
    const { body, ignoredFields } = forwarded({ model: "m", messages, user: "someone", metadata: {}, kv_transfer_params: {}, top_k: 5, store: false });
    expect(ignoredFields).toBe(3);
    expect(body).toMatchObject({ top_k: 5, cache_salt: "salt" });
    for (const gone of ["user", "metadata", "kv_transfer_params", "store"]) expect(body).not.toHaveProperty(gone);
  });

  test("keeps vLLM's extensions from an engine that does not know them", () => {
    const { body, ignoredFields } = forwarded({ model: "m", messages, top_k: 5, stream: true }, "openai");
    expect(ignoredFields).toBe(1);
    expect(body.stream_options).toEqual({ include_usage: true });
    expect(body).not.toHaveProperty("cache_salt");
  });

  test("does not let a caller choose the cache salt", () => {
    expect(forwarded({ model: "m", messages, cache_salt: "theirs" }).body.cache_salt).toBe("salt");
  });
});

test("routeOf() refuses what it does not have: 404, 405, and a reason for what would keep content (content.none)", () => {
  expect(thrownBy(() => routeOf("POST", "/v1/nothing")).status).toBe(404);
  expect(thrownBy(() => routeOf("GET", "/v1/chat/completions")).status).toBe(405);
  expect(thrownBy(() => routeOf("POST", "/v1/files")).kind).toBe("zero_retention");
  expect(thrownBy(() => routeOf("GET", "/v1/models/%zz")).status).toBe(404);
  expect(routeOf("GET", "/v1/models/a%2Fb?x=1")).toEqual({ to: "model", id: "a/b" });
});
