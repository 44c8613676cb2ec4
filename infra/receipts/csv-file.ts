/** The records of a CSV file as bytes, whatever its size. */

/** Bytes. A record has a few hundred; a file without line ends is no usage log and must not fill the memory. */
const recordBytesMax = 64 * 1024;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/**
 * Each record without its line end, be it CRLF or, where a transfer changed it, LF; the first is the header. No cell of
 * the usage log has a line end in it. Throws when one record never ends.
 */
export async function* recordsOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = Buffer.concat([rest, chunk]);
    let from = 0;
    for (let end = rest.indexOf(lineFeed); end !== -1; end = rest.indexOf(lineFeed, from)) {
      yield rest.subarray(from, rest[end - 1] === carriageReturn && end > from ? end - 1 : end);
      from = end + 1;
    }
    rest = rest.subarray(from);
    if (rest.length > recordBytesMax) throw new Error(`a record is longer than ${recordBytesMax} bytes: this is no usage log`);
  }
  if (rest.length > 0) yield rest;
}

/** The request_id of a record: its second cell, and no cell before it is quoted. */
export function requestIdOf(record: Buffer | string): string | undefined {
  return record.toString().split(",", 2)[1];
}
