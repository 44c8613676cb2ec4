import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { z } from "zod";
import { booleanSetting, jsonSetting, namesRead, readConfig, secret, setting } from "#shared/config.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

let secretsFolder: string;

beforeEach(() => {
  secretsFolder = temporaryFolder();
  vi.stubEnv("secret_mount_path", secretsFolder);
  for (const name of ["PORT", "listen_address"]) vi.stubEnv(name, undefined);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

const writeSecret = (name: string, text: string) => writeFileSync(join(secretsFolder, name), text);

test("readConfig() gives settings from the environment and secrets from files, by the caller's names", () => {
  vi.stubEnv("some_url", "http://127.0.0.1:1");
  writeSecret("some-secret", "  a secret of some length\n");
  const shape = { url: setting("some_url", z.url()), secret: secret("some-secret") };
  expect(readConfig(shape)).toEqual({
    port: 8080,
    hostname: "0.0.0.0",
    url: "http://127.0.0.1:1",
    secret: "a secret of some length",
  });
});

test("readConfig() gives where to listen to every function", () => {
  vi.stubEnv("PORT", "1234");
  vi.stubEnv("listen_address", "127.0.0.1");
  expect(readConfig({})).toEqual({ port: 1234, hostname: "127.0.0.1" });
});

test.each(["0", "65536", "80.5", "eighty", "", " "])("readConfig() refuses the port %j", (port) => {
  vi.stubEnv("PORT", port);
  expect(() => readConfig({})).toThrow(/^Cannot start: setting PORT: /);
});

test("readConfig() names everything that is missing or wrong at once, and no value (it may be a secret)", () => {
  vi.stubEnv("PORT", "canary");
  vi.stubEnv("some_url", "canary");
  vi.stubEnv("some_list", '["canary", ');
  writeSecret("short-secret", "canary");
  writeSecret("url-secret", "canary of a url");
  const shape = {
    url: setting("some_url", z.url()),
    list: setting("some_list", jsonSetting(z.array(z.number()))),
    missing: setting("missing_setting", z.string()),
    flag: setting("missing_flag", booleanSetting),
    secret: secret("short-secret"),
    missingSecret: secret("missing-secret"),
    urlSecret: secret("url-secret", z.url({ protocol: /^postgres$/ })),
  };
  const problem = messageOf(() => readConfig(shape));
  const where = `(a file in ${secretsFolder})`;
  for (const name of [
    "setting PORT: ",
    "setting some_url: ",
    "setting some_list: is not JSON",
    "setting missing_setting: is missing",
    "setting missing_flag: is missing",
    `secret short-secret ${where}: `,
    `secret missing-secret ${where}: is missing`,
    `secret url-secret ${where}: `,
  ]) {
    expect(problem).toContain(name);
  }
  expect(problem).not.toContain("canary");
});

test("readConfig() reads JSON settings, and refuses those of another shape without quoting them", () => {
  const shape = { list: setting("some_list", jsonSetting(z.array(z.number()))) };
  vi.stubEnv("some_list", "[1, 2]");
  expect(readConfig(shape).list).toEqual([1, 2]);
  vi.stubEnv("some_list", '["canary"]');
  const problem = messageOf(() => readConfig(shape));
  expect(problem).toContain("setting some_list: ");
  expect(problem).not.toContain("canary");
});

test.each([
  ["true", true],
  ["false", false],
])("booleanSetting takes %s", (word, value) => {
  vi.stubEnv("some_flag", word);
  expect(readConfig({ flag: setting("some_flag", booleanSetting) }).flag).toBe(value);
});

test.each(["TRUE", "1", "yes", "flase", ""])("booleanSetting refuses %j: a typing error must not mean false", (word) => {
  vi.stubEnv("some_flag", word);
  expect(() => readConfig({ flag: setting("some_flag", booleanSetting) })).toThrow("setting some_flag: ");
});

test("namesRead() says what stack.yml must give", () => {
  const shape = { url: setting("some_url", z.url()), secret: secret("some-secret") };
  expect(namesRead(shape)).toEqual({ environment: ["PORT", "listen_address", "some_url"], secrets: ["some-secret"] });
});

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (thrown) {
    return (thrown as Error).message;
  }
  throw new Error("Nothing was thrown");
}
