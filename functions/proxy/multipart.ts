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
/** RFC 2046 allows a boundary of 70 characters. */
const boundaryCharactersMax = 70;

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
    const next = bytes.indexOf(`\r\n--${boundary}`, headersEnd + 2, "latin1");
    if (next < 0) throw refuse("its last boundary is missing");
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
  const match = /^multipart\/form-data\s*;(?:[^;]*;)*?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2];
  if (!boundary || boundary.length > boundaryCharactersMax) {
    throw new EpithreError("unsupported_media_type", "Cannot read body: send multipart/form-data with a boundary");
  }
  return boundary;
}

function dispositionOf(headers: string): { key: string; file: boolean } {
  const line = /^content-disposition:[ \t]*form-data;(.*)$/im.exec(headers)?.[1];
  const name = line && /(?:^|;)[ \t]*name="([^"]{1,256})"/i.exec(line)?.[1];
  if (!name) throw refuse("a part has no name");
  return { key: name, file: /(?:^|;)[ \t]*filename\*?=/i.test(line) };
}
