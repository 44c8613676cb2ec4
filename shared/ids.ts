/** Identifiers. All are opaque: nothing about a person can be read from one but the time it was made. */

const uuidv7Pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Random bytes are drawn in blocks: one system call serves 256 identifiers. */
const randomBlockBytes = 256 * 10;
let randomBlock = new Uint8Array(randomBlockBytes);
let randomUsed = randomBlockBytes;

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/**
 * A version 7 UUID (RFC 9562, section 5.7): 48 bits of Unix time in milliseconds, then 74 random bits.
 * Usage slices are ranges of these ids, so `nowMs` must follow the database's clock.
 */
export function uuidv7(nowMs: number): string {
  if (randomUsed + 10 > randomBlockBytes) {
    randomBlock = crypto.getRandomValues(randomBlock);
    randomUsed = 0;
  }
  const random = randomBlock;
  const at = randomUsed;
  randomUsed += 10;
  const time = Math.trunc(nowMs).toString(16).padStart(12, "0");
  const version = 0x70 | (random[at]! & 0x0f);
  const variant = 0x80 | (random[at + 2]! & 0x3f);
  return (
    `${time.slice(0, 8)}-${time.slice(8)}-${hex[version]}${hex[random[at + 1]!]}` +
    `-${hex[variant]}${hex[random[at + 3]!]}` +
    `-${hex[random[at + 4]!]}${hex[random[at + 5]!]}${hex[random[at + 6]!]}` +
    `${hex[random[at + 7]!]}${hex[random[at + 8]!]}${hex[random[at + 9]!]}`
  );
}

/** The time that a version 7 UUID was minted at, in milliseconds since 1970; NaN when it is not one. */
export function uuidv7TimeMs(id: string): number {
  return uuidv7Pattern.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : Number.NaN;
}
