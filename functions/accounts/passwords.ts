/** Passwords as Argon2id hashes in PHC strings (sec.password): `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { Argon2Parameters, Hasher } from "./hasher.ts";

/** OWASP's Password Storage Cheat Sheet, Argon2id. Raised here, they reach each account at its next login. */
export const parametersNow: Argon2Parameters = { memoryKib: 19_456, passes: 2, lanes: 1 };

/** Bytes, as RFC 9106 recommends them. */
const saltBytes = 16;
const hashBytes = 32;

export interface Passwords {
  /** The PHC string of a new password. */
  hash(password: string): Promise<string>;
  /**
   * `phc: null` is nobody's: it costs what a wrong password costs, so that nobody learns who has an account. `better` is
   * the right password under the parameters of today, where its own were others.
   */
  check(password: string, phc: string | null): Promise<{ matches: boolean; better: string | null }>;
}

export function createPasswords(hasher: Pick<Hasher, "hash">, parameters = parametersNow): Passwords {
  const nobodys = format({ parameters, salt: randomBytes(saltBytes), hash: randomBytes(hashBytes) });

  async function hash(password: string): Promise<string> {
    const salt = randomBytes(saltBytes);
    return format({ parameters, salt, hash: await hasher.hash({ password: bytesOf(password), salt, parameters, hashBytes }) });
  }

  return {
    hash,
    async check(password, phc) {
      const known = parse(phc ?? nobodys);
      const { salt, parameters: former } = known;
      const found = await hasher.hash({ password: bytesOf(password), salt, parameters: former, hashBytes: known.hash.length });
      const matches = timingSafeEqual(found, known.hash) && phc !== null;
      return { matches, better: matches && !isSame(former, parameters) ? await hash(password) : null };
    },
  };
}

/** Of one form, however it was typed: an ä can be one character or two (RFC 8265). */
function bytesOf(password: string): Uint8Array {
  return new TextEncoder().encode(password.normalize("NFC"));
}

interface Parsed {
  parameters: Argon2Parameters;
  salt: Uint8Array;
  hash: Uint8Array;
}

function format({ parameters: { memoryKib, passes, lanes }, salt, hash }: Parsed): string {
  return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${lanes}$${base64(salt)}$${base64(hash)}`;
}

/** The database takes no other form. */
function parse(phc: string): Parsed {
  const [, memoryKib, passes, lanes, salt, hash] = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/.exec(phc)!;
  return {
    parameters: { memoryKib: Number(memoryKib), passes: Number(passes), lanes: Number(lanes) },
    salt: Buffer.from(salt!, "base64"),
    hash: Buffer.from(hash!, "base64"),
  };
}

function isSame(one: Argon2Parameters, other: Argon2Parameters): boolean {
  return one.memoryKib === other.memoryKib && one.passes === other.passes && one.lanes === other.lanes;
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64").replaceAll("=", "");
