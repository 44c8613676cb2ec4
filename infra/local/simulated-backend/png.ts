/** A small real PNG: 16 x 16 grey, with a text chunk that says what made it. */
import { crc32, deflateSync } from "node:zlib";

/** Pixels on each side. */
const side = 16;

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Width, height, 8 bits of grey, no filter method, no interlacing. */
const header = Buffer.from([0, 0, 0, side, 0, 0, 0, side, 8, 0, 0, 0, 0]);
/** Each row begins with filter type 0. */
const rows = Buffer.from(Array.from({ length: side * (side + 1) }, (_, at) => (at % (side + 1) === 0 ? 0 : 8 * (at % side) + 64)));
const pixels = deflateSync(rows);

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/** The picture as base64; `comment` is kept in a tEXt chunk, so a test can find what it put in. */
export function png(comment: string): string {
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("tEXt", Buffer.from(`Comment\0${comment}`, "utf8")),
    chunk("IDAT", pixels),
    chunk("IEND", Buffer.alloc(0)),
  ]).toString("base64");
}
