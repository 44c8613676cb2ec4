/** A word as a leak would leave it, in each of the disguises that the scanner knows. */
import type { Disguise } from "#infra/canary/canary.ts";

/** In pieces of 1 to 4 letters, as a tokenizer cuts what it does not know. */
function pieces(word: string): string[] {
  const cut: string[] = [];
  for (let at = 0; at < word.length; at += cut.at(-1)!.length) cut.push(word.slice(at, at + 1 + (at % 4)));
  return cut;
}

export const disguised: Record<Disguise, (word: string) => Buffer> = {
  plain: (word) => Buffer.from(JSON.stringify({ content: word })),
  "lower-case": (word) => Buffer.from(word.toLowerCase()),
  base64: (word) => Buffer.from(Buffer.from(`data: ${word}, and more`).toString("base64url")),
  hex: (word) => Buffer.from(Buffer.from(word).toString("hex").toUpperCase()),
  "url-encoded": (word) => Buffer.from(`/v1/models?q=${encodeURIComponent(word)}&n=1`),
  reversed: (word) => Buffer.from([...word].reverse().join("")),
  "utf-16": (word) => Buffer.from(word, "utf16le"),
  "token-split": (word) => Buffer.from(JSON.stringify(pieces(word))),
};
