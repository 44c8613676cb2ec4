import { argon2Sync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { createHasher, type HashTask } from "../../../functions/accounts/hasher.ts";
import { createPasswords, parametersNow } from "../../../functions/accounts/passwords.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const hasher = createHasher();
const passwords = createPasswords(hasher);
afterAll(() => hasher.close());

const cheap = { memoryKib: 64, passes: 1, lanes: 1 };
const task = (password = "password", parameters = cheap): HashTask => ({
  password: new TextEncoder().encode(password), salt: randomBytes(16), parameters, hashBytes: 32,
});
const byNode = ({ password, salt, parameters, hashBytes }: HashTask) =>
  argon2Sync("argon2id", {
    message: password, nonce: salt, memory: parameters.memoryKib, passes: parameters.passes, parallelism: parameters.lanes, tagLength: hashBytes,
  });

describe("createHasher()", () => {
  test("gives the bytes of Node's own Argon2id, under today's parameters and others (sec.password)", async () => {
    const cases = [task("pässwörd", parametersNow), task("x", { memoryKib: 1_024, passes: 3, lanes: 2 }), { ...task("long"), hashBytes: 48 }];
    for (const each of cases) expect(Buffer.from(await hasher.hash(each))).toEqual(byNode(each));
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 600 });
    const salts = fc.uint8Array({ minLength: 8, maxLength: 64 });
    await fc.assert(
      fc.asyncProperty(bytes, salts, async (password, salt) => {
        const each = { ...task(), password, salt };
        expect(Buffer.from(await hasher.hash(each))).toEqual(byNode(each));
      }),
      { numRuns: 60 },
    );
  });

  test("hashes one at a time, lets some wait, and refuses the others with a time to come again", async () => {
    const small = createHasher({ waitingMax: 3 });
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => small.hash(task(`password ${index}`, parametersNow))));
    await small.close();
    expect(outcomes.map(({ status }) => status)).toEqual([...Array(4).fill("fulfilled"), ...Array(4).fill("rejected")]);
    for (const outcome of outcomes.slice(4)) {
      expect((outcome as PromiseRejectedResult).reason).toMatchObject({ kind: "overloaded", detail: { retryAfterS: expect.any(Number) } });
    }
  });

  test.each([
    ["ends", "process.exit(1)"],
    ["fails", "throw new Error('a fault that quotes the password')"],
    ["hangs", "for (;;);"],
  ])("replaces a thread that %s, and only its own task is refused", async (_, fault) => {
    const file = join(temporaryFolder(), "hasher-worker.mjs");
    writeFileSync(file, `
      import { parentPort } from "node:worker_threads";
      parentPort.on("message", ({ password }) => {
        if (Buffer.from(password).toString() === "bad") { ${fault} }
        parentPort.postMessage({ hash: password });
      });
    `);
    const fragile = createHasher({ program: pathToFileURL(file), hashTimeoutMs: 1_000 });
    const all = ["good", "bad", "good again", "bad", "well"].map((word) => fragile.hash(task(word)));
    const outcomes = await Promise.allSettled(all);
    await fragile.close();
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "rejected", "fulfilled"]);
    const { reason } = outcomes[1] as PromiseRejectedResult;
    expect(reason).toMatchObject({ kind: "overloaded" });
    expect(String(reason.message)).not.toContain("quotes");
  });

  test("leaves the main thread free while it hashes", async () => {
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    await hasher.hash(task("password", { memoryKib: 65_536, passes: 3, lanes: 1 }));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(10);
  });
});

describe("createPasswords()", () => {
  test("makes PHC strings with a salt each, which the same password matches and no other (sec.password)", async () => {
    const [one, other] = [await passwords.hash("correct horse"), await passwords.hash("correct horse")];
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(one.split("$")[4]).not.toBe(other.split("$")[4]);
    for (const phc of [one, other]) expect(await passwords.check("correct horse", phc)).toEqual({ matches: true, better: null });
    for (const wrong of ["correct hors", "Correct horse", "", "correct horse "]) expect((await passwords.check(wrong, one)).matches).toBe(false);
  });

  test("takes a password in whatever way its letters are composed", async () => {
    const phc = await passwords.hash("grüße an alle".normalize("NFD"));
    expect((await passwords.check("grüße an alle".normalize("NFC"), phc)).matches).toBe(true);
  });

  test("matches nothing for nobody, with one hash of the same parameters", async () => {
    const tasks: HashTask[] = [];
    const counted = createPasswords({ hash: (each) => (tasks.push(each), hasher.hash(each)) });
    const phc = await counted.hash("correct horse");
    tasks.length = 0;
    expect(await counted.check("correct horse", null)).toEqual({ matches: false, better: null });
    await counted.check("wrong horse", phc);
    expect(tasks.map(({ parameters, salt, hashBytes }) => [parameters, salt.length, hashBytes])).toEqual(Array(2).fill([parametersNow, 16, 32]));
  });

  test("makes a better hash of a right password under former parameters", async () => {
    const former = await createPasswords(hasher, cheap).hash("correct horse");
    const { matches, better } = await passwords.check("correct horse", former);
    expect(matches).toBe(true);
    expect(await passwords.check("correct horse", better)).toEqual({ matches: true, better: null });
    expect(await passwords.check("wrong horse", former)).toEqual({ matches: false, better: null });
  });
});
