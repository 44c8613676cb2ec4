/**
 * API keys: `ep_`, 40 random base62 characters (238 bits), 6 base62 characters of CRC-32 over what stands before.
 * The checksum tells a mistyped key without asking anyone; only the SHA-256 is ever stored or sent on (sec.key).
 */
import { hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { EpithreError } from "./errors.ts";

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const randomCharacters = 40;
const checksumCharacters = 6;
const prefixCharacters = 12;

const keyPattern = new RegExp(`^ep_[0-9A-Za-z]{${randomCharacters + checksumCharacters}}$`);

/** Bytes from here up are drawn again: 256 is no multiple of 62, and each character must be as likely as another. */
const fairBytesEnd = 256 - (256 % alphabet.length);

/** A new key, shown to its owner once. */
export function generateKey(): string {
  let body = "ep_";
  while (body.length < "ep_".length + randomCharacters) {
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    if (byte! < fairBytesEnd) body += alphabet[byte! % alphabet.length];
  }
  return body + checksum(body);
}

/** Whether `text` has the form and checksum of a key; says nothing about whether it was ever given out. */
export function isWellFormedKey(text: string): boolean {
  return keyPattern.test(text) && text.endsWith(checksum(text.slice(0, -checksumCharacters)));
}

/**
 * The key of an `Authorization: Bearer` header. Throws `missing_api_key`, or `invalid_api_key` for what no key can be:
 * guesses and slips of the hand are refused here, before anybody is asked.
 */
export function presentedKey(authorization: string | null | undefined): string {
  if (!authorization) {
    throw new EpithreError("missing_api_key", "Cannot find an API key: send it as `Authorization: Bearer ep_...`");
  }
  const key = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (!key || !isWellFormedKey(key)) throw invalidKey();
  return key;
}

export const invalidKey = () =>
  new EpithreError("invalid_api_key", "Cannot accept this API key: it is unknown, expired or revoked. Make a new one on the dashboard.");

/** SHA-256 in lower-case hex. */
export function hashKey(text: string): string {
  return hash("sha256", text);
}

/** The first 12 characters: enough for an owner to tell keys apart (keep.key). */
export function keyPrefix(text: string): string {
  return text.slice(0, prefixCharacters);
}

function checksum(text: string): string {
  let rest = crc32(text);
  let characters = "";
  for (let index = 0; index < checksumCharacters; index += 1) {
    characters = alphabet[rest % alphabet.length] + characters;
    rest = Math.floor(rest / alphabet.length);
  }
  return characters;
}
