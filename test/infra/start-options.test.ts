import { describe, expect, test } from "vitest";
import { help, readOptions } from "#infra/local/options.ts";

describe("readOptions()", () => {
  test("starts on port 8080 with the simulated backend, and keeps data in the repository's .epithre", () => {
    const expected = { backends: [], port: 8080, dataDir: "/app/.epithre", fresh: false, json: false, help: false };
    expect(readOptions([], "/app")).toEqual(expected);
  });

  test("takes several backends", () => {
    const words = ["--backend", "http://127.0.0.1:8000", "--backend=http://10.0.0.2/v1", "--port", "0", "--data", "/d", "--fresh", "--json"];
    const backends = ["http://127.0.0.1:8000/", "http://10.0.0.2/v1"];
    expect(readOptions(words, "/app")).toEqual({ backends, port: 0, dataDir: "/d", fresh: true, json: true, help: false });
  });

  test("takes storage with its login and bucket in one address", () => {
    const { objectStore } = readOptions(["--object-store", "http://access-key:a%2Fsecret@10.0.0.9:9000/files"], "/app");
    expect(objectStore).toEqual({ url: "http://10.0.0.9:9000", bucket: "files", login: "access-key:a/secret" });
    for (const wrong of ["10.0.0.9", "http://10.0.0.9:9000/files", "http://a:b@10.0.0.9:9000", "http://a:b@10.0.0.9/b/c", "s3://a:b@c/d"]) {
      expect(() => readOptions(["--object-store", wrong], "/app")).toThrow("Cannot start: --object-store takes a URL such as");
    }
  });

  test.each([
    [["--prot", "80"], "unknown option '--prot'"],
    [["stop"], "unexpected argument 'stop'"],
    [["--port"], "option '--port <value>' argument missing"],
    [["--fresh=yes"], "option '--fresh' does not take an argument"],
    [["--port", "65536"], "--port takes a number from 0 to 65535"],
    [["--port", "0x10"], "--port takes a number from 0 to 65535"],
    [["--backend", "localhost:8000"], "--backend takes a URL such as http://127.0.0.1:8000"],
    [["--backend", "vllm"], "--backend takes a URL such as http://127.0.0.1:8000"],
  ])("refuses %j in one sentence", (words, problem) => {
    expect(() => readOptions(words, "/app")).toThrow(new Error(`Cannot start: ${problem}; npm start -- --help shows the options`));
  });

  test("explains every option that it takes", () => {
    for (const name of Object.keys(readOptions([], "/app"))) {
      const flag = { backends: "--backend", dataDir: "--data", objectStore: "--object-store" }[name] ?? `--${name}`;
      expect(help).toContain(`  ${flag} `);
    }
  });
});
