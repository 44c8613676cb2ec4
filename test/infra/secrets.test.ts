import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openSecrets } from "#infra/local/secrets.ts";

test("openSecrets() gives both ends of an edge the same secret, also when they ask at once, and after a restart", async () => {
  const folder = await mkdtemp(join(tmpdir(), "epithre-secrets-"));
  try {
    const secrets = await openSecrets(folder);
    const values = await Promise.all(Array.from({ length: 8 }, () => secrets.value("edge-proxy-billing")));
    expect(new Set(values).size).toBe(1);
    expect(await (await openSecrets(folder)).value("edge-proxy-billing")).toBe(values[0]);
    expect(await secrets.value("cache-salt")).not.toBe(values[0]);
    expect(await secrets.value("receipt-key", () => "of a form of its own")).toBe("of a form of its own");
    expect(await (await openSecrets(folder)).value("receipt-key", () => "another")).toBe("of a form of its own");
    expect(await secrets.changed("digest-chain", (text) => `${text}@2026-11-25`)).toBe(await secrets.value("digest-chain"));
    expect(await (await openSecrets(folder)).value("digest-chain")).toMatch(/^[\w-]{43}@2026-11-25$/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
