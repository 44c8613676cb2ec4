/**
 * Where the parts of a multipart form (RFC 7578) stand in its bytes. A form is edited by splicing, like JSON: parts
 * that the engine may not see are cut out, all others stay byte for byte.
 */
import { EpithreError } from "#shared/errors.ts";
import type { Member } from "./json-members.ts";

/** Parts of one form: sixteen images, a mask and the text fields fit. */
const partsMax = 64;
/** Bytes of one part's headers. */
const partHeaderBytesMax = 4_096;

/** `keyStart` is the first byte of the part's boundary line, `valueEnd` the last byte of its value. */
export interface Part extends Member {
  file: boolean;
}

const refuse = (problem: string) => new EpithreError("invalid_request", `Cannot read form: ${problem}`);

/** Throws `unsupported_media_type` when it is no form, `invalid_request` when it is not well formed. */
export function partsOf(bytes: Buffer, contentType: string): { parts: Part[]; boundary: string; end: number } {
  const boundary = boundaryOf(contentType);
  const delimiter = Buffer.from(`--${boundary}`);
  const parts: Part[] = [];
  let at = bytes.indexOf(delimiter);
  if (at !== 0) throw refuse("it does not start with its boundary");
  for (;;) {
    const afterDelimiter = at + delimiter.length;
    if (bytes.toString("latin1", afterDelimiter, afterDelimiter + 2) === "--") return { parts, boundary, end: at };
    if (bytes.toString("latin1", afterDelimiter, afterDelimiter + 2) !== "\r\n") throw refuse("a boundary is not followed by a line end");
    if (parts.length === partsMax) throw refuse(`more than ${partsMax} parts`);
    const headersEnd = bytes.indexOf("\r\n\r\n", afterDelimiter);
    if (headersEnd < 0 || headersEnd - afterDelimiter > partHeaderBytesMax) throw refuse("a part's headers do not end");
    // Readers differ on a boundary that no line end stands before: there must be none.
    const found = bytes.indexOf(delimiter, afterDelimiter);
    if (found < 0) throw refuse("its last boundary is missing");
    const next = found - 2;
    if (next < headersEnd + 2 || bytes.toString("latin1", next, found) !== "\r\n") throw refuse("a boundary stands inside a part");
    const headers = bytes.toString("utf8", afterDelimiter, headersEnd);
    parts.push({
      ...dispositionOf(headers),
      keyStart: at,
      valueStart: Math.min(headersEnd + 4, next),
      valueEnd: next,
    });
    at = next + 2;
  }
}

function boundaryOf(contentType: string): string {
  // One parameter and nothing else: readers differ on which of several boundaries counts.
  const match = /^multipart\/form-data\s*;\s*boundary=(?:"([\w'()+,\-./:=? ]{1,70})"|([\w'()+\-.]{1,70}))\s*$/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (!boundary) {
    throw new EpithreError("unsupported_media_type", "Cannot read body: send multipart/form-data with a boundary");
  }
  return boundary;
}

/** Exactly one name and one file name, written one way: readers differ on which of several counts. */
const disposition = /^form-data; ?name="([^"\\]{1,256})"(; ?filename="[^"]+"(?:; ?filename\*=[^;"]+)?)?$/i;

function dispositionOf(headers: string): { key: string; file: boolean } {
  const lines = headers.split("\r\n").filter((line) => /^content-disposition[ \t]*:/i.test(line));
  const match = lines.length === 1 ? disposition.exec(lines[0]!.slice(lines[0]!.indexOf(":") + 1).trim()) : null;
  if (!match) throw refuse('each part needs one line `content-disposition: form-data; name="..."`, and a filename where it is a file');
  return { key: match[1]!, file: match[2] !== undefined };
}
