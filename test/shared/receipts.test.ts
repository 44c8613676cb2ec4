import { createPrivateKey, sign } from "node:crypto";
import fc from "fast-check";
import { calculateJwkThumbprint, compactVerify, createLocalJWKSet } from "jose";
import { describe, expect, test } from "vitest";
import { makeReceiptKey } from "#infra/receipts/key.ts";
import { createReceiptSigner, openReceipt, receiptKey, ReceiptRefused, type Statement } from "#shared/receipts.ts";

const privateKey = createPrivateKey(makeReceiptKey());
const signer = createReceiptSigner(privateKey);
const another = createReceiptSigner(createPrivateKey(makeReceiptKey()));
/** Of RFC 8037, appendix A.2. */
const exampleX = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const type = "epithre-usage-receipt-v1";
const statement: Statement = { object: "usage.event", cost_rupiah: "12.000001", status: 200, from: null };
const statements = fc.dictionary(fc.string(), fc.oneof(fc.string({ unit: "binary" }), fc.maxSafeInteger(), fc.constant(null)), { noNullPrototype: true });
const base64url = (text: string) => Buffer.from(text).toString("base64url");

describe("createReceiptSigner()", () => {
  test("signs what another library verifies, with the key and the type that it names", async () => {
    const text = signer.sign(type, statement);
    const { payload, protectedHeader } = await compactVerify(text, createLocalJWKSet({ keys: [another.key, signer.key] }));
    expect(JSON.parse(Buffer.from(payload).toString())).toEqual(statement);
    expect(protectedHeader).toEqual({ alg: "EdDSA", kid: signer.key.kid, typ: type });
  });

  test("names its key by RFC 7638's thumbprint: that of RFC 8037's example, and another library's", async () => {
    const { kid, ...key } = signer.key;
    expect(kid).toBe(await calculateJwkThumbprint(key));
    expect(receiptKey(exampleX).kid).toBe("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  });
});

describe("openReceipt()", () => {
  test("answers what was signed, and which of the keys signed it", () => {
    fc.assert(
      fc.property(statements, (any) => {
        const opened = openReceipt(signer.sign(type, any), [another.key, signer.key]);
        expect(opened).toEqual({ type, keyId: signer.key.kid, statement: JSON.parse(JSON.stringify(any)) });
      }),
    );
  });

  test("takes what a retired key signed as long as that key is among those it is given", () => {
    const old = another.sign(type, statement);
    expect(openReceipt(old, [signer.key, another.key]).keyId).toBe(another.key.kid);
    expect(() => openReceipt(old, [signer.key])).toThrow("none of the keys has the id");
    expect(() => openReceipt(old, [])).toThrow(ReceiptRefused);
  });

  test("refuses a signature of another key that is given the id of a known one", () => {
    const [head, payload] = signer.sign(type, statement).split(".");
    const forged = sign(null, Buffer.from(`${head}.${payload}`), createPrivateKey(makeReceiptKey())).toString("base64url");
    expect(() => openReceipt(`${head}.${payload}.${forged}`, [signer.key])).toThrow("its signature is not that of its statement");
  });

  test("refuses every text but the one that was signed, whichever character is changed, added or left out", () => {
    const text = signer.sign(type, statement);
    // Bits of the last character that say nothing, white space and padding are what decoders pass over.
    const characters = fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/= \n");
    const changes = fc.record({ at: fc.nat(text.length - 1), instead: characters, how: fc.constantFrom("changed", "added", "left out") });
    fc.assert(
      fc.property(changes, ({ at, instead, how }) => {
        const rest = text.slice(how === "added" ? at : at + 1);
        const other = text.slice(0, at) + (how === "left out" ? "" : instead) + rest;
        fc.pre(other !== text);
        expect(() => openReceipt(other, [signer.key])).toThrow(ReceiptRefused);
      }),
      { numRuns: 2_000 },
    );
    for (const more of [".", ".x", "=", "\n", " "]) expect(() => openReceipt(text + more, [signer.key])).toThrow(ReceiptRefused);
    for (const last of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
      const other = text.slice(0, -1) + last;
      if (other !== text) expect(() => openReceipt(other, [signer.key])).toThrow(ReceiptRefused);
    }
  });

  test.each([
    ["no signature", { alg: "none", kid: signer.key.kid, typ: type }],
    ["a MAC with the public key as secret", { alg: "HS256", kid: signer.key.kid, typ: type }],
    ["an extension that must be understood", { alg: "EdDSA", kid: signer.key.kid, typ: type, crit: ["b64"], b64: false }],
    ["members in another order", { typ: type, kid: signer.key.kid, alg: "EdDSA" }],
  ])("refuses a header that announces %s, although the key signed it", (_, header) => {
    const signed = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(statement))}`;
    const text = `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
    expect(() => openReceipt(text, [signer.key])).toThrow("its header or signature has another form");
  });
});

test.each(["", "AA", `${exampleX}A`, `${exampleX}=`, exampleX.slice(1), `${exampleX.slice(0, -1)}p`])(
  "receiptKey() takes 32 bytes in the one form of base64url: not %j",
  (x) => {
    expect(() => receiptKey(x)).toThrow(ReceiptRefused);
  },
);
