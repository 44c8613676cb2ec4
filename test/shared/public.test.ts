import { describe, expect, test } from "vitest";
import { EpithreError } from "#shared/errors.ts";
import { createPublicHandler } from "#shared/public.ts";

const handler = createPublicHandler([
  { method: "GET", path: "/v1/things", answer: async ({ query }) => Response.json({ limit: query.get("limit") }) },
  { method: "POST", path: "/v1/things", answer: async ({ request }) => Response.json(await request.json()) },
  { method: "GET", path: "/v1/things/{id}.pdf", answer: async ({ id }) => new Response(id, { headers: { "cache-control": "max-age=60" } }) },
  {
    method: "GET",
    path: "/v1/things/{id}",
    async answer({ id }) {
      if (id === "broken") throw new Error("a fault that quotes content");
      throw new EpithreError("not_found", "Cannot find thing");
    },
  },
]);

async function ask(path: string, init: RequestInit = {}) {
  const response = await handler(new Request(`http://test${path}`, init));
  return { status: response.status, headers: response.headers, text: await response.text() };
}

describe("createPublicHandler()", () => {
  test("answers the route of path and method, with its query and its id", async () => {
    expect(await ask("/v1/things?limit=5")).toMatchObject({ status: 200, text: '{"limit":"5"}' });
    expect(await ask("/v1/things", { method: "POST", body: '{"a":1}' })).toMatchObject({ status: 200, text: '{"a":1}' });
    expect(await ask("/v1/things/7.pdf")).toMatchObject({ status: 200, text: "7" });
    expect((await ask("/v1/things/7")).status).toBe(404);
  });

  test.each(["/v1", "/v1/things/", "/v1/things/1/2", "/v1/thingsx", "/v1/things/.pdf/x"])("knows no route %s", async (path) => {
    const { status, text } = await ask(path);
    expect([status, JSON.parse(text).error.code]).toEqual([404, "unknown_url"]);
  });

  test("names the methods that a path has", async () => {
    const { status, headers } = await ask("/v1/things", { method: "DELETE" });
    expect([status, headers.get("allow")]).toEqual([405, "GET, POST, OPTIONS"]);
    const preflight = await ask("/v1/things", { method: "OPTIONS" });
    expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([204, "GET, POST, OPTIONS"]);
  });

  test("lets any origin call, sets no cookie, and lets nothing be kept unless the route says so (track.none)", async () => {
    const { headers } = await ask("/v1/things");
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.has("set-cookie")).toBe(false);
    expect((await ask("/v1/things/7.pdf")).headers.get("cache-control")).toBe("max-age=60");
  });

  test("says nothing of a fault (content.none)", async () => {
    const { status, text } = await ask("/v1/things/broken");
    expect(status).toBe(500);
    expect(text).not.toContain("quotes");
  });
});
