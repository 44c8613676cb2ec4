/**
 * Signed statements about usage: JWS in compact form (RFC 7515) with Ed25519 (RFC 8037), which any JOSE library reads.
 * This file needs nothing but Node, so that receipts are verified offline without anything to install. It is stricter
 * than JOSE: one statement has one text only, and no other text passes for it.
 */
import { createPublicKey, hash, type KeyObject, sign, verify } from "node:crypto";

/** What a statement is about and the version of its form. It is signed too, as `typ`: none passes for one of another type. */
export type ReceiptType = "epithre-usage-receipt-v1" | "epithre-export-receipt-v1" | "epithre-audit-head-v1" | "epithre-evidence-v1";

/** A public key. Its id is its thumbprint (RFC 7638): the same wherever it is published, and of no other key. */
export interface ReceiptKey {
  kty: "OKP";
  crv: "Ed25519";
  /** 32 bytes in base64url. */
  x: string;
  kid: string;
  alg: "EdDSA";
  use: "sig";
}

/** Of a statement: values that JSON has one text for. */
export type Statement = Record<string, string | number | null>;

export interface ReceiptSigner {
  key: ReceiptKey;
  /** `statement`: an object that JSON gives back as it was. */
  sign(type: ReceiptType, statement: object): string;
}

export interface OpenedReceipt {
  type: string;
  keyId: string;
  statement: Statement;
}

/** Why a receipt or a key is not taken. The message quotes nothing of it. */
export class ReceiptRefused extends Error {
  override readonly name = "ReceiptRefused";
}

/** Bytes of a public key and of a signature (RFC 8032). */
const keyBytes = 32;
const signatureBytes = 64;

export function createReceiptSigner(privateKey: KeyObject): ReceiptSigner {
  const key = receiptKey(createPublicKey(privateKey).export({ format: "jwk" }).x!);
  return {
    key,
    sign(type, statement) {
      const signed = `${header(type, key.kid)}.${encoded(JSON.stringify(statement))}`;
      return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
    },
  };
}

/** The whole public key of these 32 bytes. Throws ReceiptRefused when they are not 32, or not in the one form of base64url. */
export function receiptKey(x: string): ReceiptKey {
  if (!isCanonical(x, keyBytes)) throw new ReceiptRefused("Cannot use key: its x is not 32 bytes in base64url");
  const kid = hash("sha256", `{"crv":"Ed25519","kty":"OKP","x":"${x}"}`, "base64url");
  return { kty: "OKP", crv: "Ed25519", x, kid, alg: "EdDSA", use: "sig" };
}

/** What was signed, and with which of the keys. Throws ReceiptRefused unless one of them signed exactly this text. */
export function openReceipt(text: string, keys: readonly ReceiptKey[]): OpenedReceipt {
  const [head, payload, signature, more] = text.split(".");
  if (head === undefined || payload === undefined || signature === undefined || more !== undefined) {
    throw new ReceiptRefused("Cannot verify receipt: it is not a JWS of three parts");
  }
  const { typ: type, kid } = decodedHeader(head);
  const key = keys.find((known) => known.kid === kid);
  if (!key) throw new ReceiptRefused("Cannot verify receipt: none of the keys has the id that it was signed with");
  if (head !== header(type, key.kid) || !isCanonical(signature, signatureBytes)) {
    throw new ReceiptRefused("Cannot verify receipt: its header or signature has another form");
  }
  const publicKey = createPublicKey({ key: { kty: key.kty, crv: key.crv, x: key.x }, format: "jwk" });
  if (!verify(null, Buffer.from(`${head}.${payload}`), publicKey, Buffer.from(signature, "base64url"))) {
    throw new ReceiptRefused("Cannot verify receipt: its signature is not that of its statement");
  }
  return { type, keyId: key.kid, statement: JSON.parse(decoded(payload)) as Statement };
}

function header(type: string, kid: string): string {
  return encoded(JSON.stringify({ alg: "EdDSA", kid, typ: type }));
}

function decodedHeader(head: string): { typ: string; kid: string } {
  try {
    const { typ, kid } = JSON.parse(decoded(head)) as { typ: unknown; kid: unknown };
    return { typ: String(typ), kid: String(kid) };
  } catch {
    throw new ReceiptRefused("Cannot verify receipt: its header is not JSON");
  }
}

const encoded = (text: string) => Buffer.from(text).toString("base64url");
const decoded = (text: string) => Buffer.from(text, "base64url").toString();

/** Node decodes much that is no base64url; of one value only the text that encoding it gives is taken. */
function isCanonical(text: string, bytes: number): boolean {
  const value = Buffer.from(text, "base64url");
  return value.length === bytes && value.toString("base64url") === text;
}
