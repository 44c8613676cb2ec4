/** Reads a whole JSON answer: it waits for the settlement in one piece, with the cost added to its usage. */
import { noUsage, type Call, type Usage } from "./call.ts";
import { costFields } from "./cost.ts";
import { imagePrice } from "./image-price.ts";
import { membersOf, splice, type Member } from "./json-members.ts";
import { readUsage } from "./usage.ts";
import type { UsageSource } from "./relay-stream.ts";

/** Bytes. The largest answer: embeddings of 2,048 inputs as floats, or 16 images. */
export const answerBytesMax = 96 * 1024 * 1024;
/** Bytes up to which an answer is parsed as a whole; beyond it only its usage is. */
const parsedBytesMax = 1024 * 1024;

export interface JsonAnswer {
  usage: Usage;
  source: UsageSource;
  /** What the usage is charged by. */
  price: Call["price"];
  /** The answer with what was charged in its usage. */
  withCost(chargedMicro: number): Buffer;
}

/** `undefined` when the bytes are no JSON object. */
export function readAnswer(call: Call, bytes: Buffer): JsonAnswer | undefined {
  try {
    if (bytes.length <= parsedBytesMax) JSON.parse(bytes.toString("utf8"));
    const { members } = membersOf(bytes);
    const found = usageIn(bytes, members);
    const images = call.endpoint.kind === "image" ? imagesIn(bytes) : 0;
    if (images > call.bounds.imagesMax) return undefined;
    const reported = found && readUsage(found.value, call.bounds, call.model.contextTokens * call.inspection.prompts);
    const withCost = (chargedMicro: number) =>
      found && found.hasMembers ? splice(bytes, [{ start: found.end - 1, end: found.end - 1, text: costFields(chargedMicro) }]) : bytes;
    const price = images > 0 ? imagePrice(call.price, formIn(call, bytes, members)) : call.price;
    // Images are priced by the picture: an image engine need not report tokens, or may report them oddly.
    if (!reported) return { usage: { ...noUsage, images }, source: images > 0 ? "counted" : "invalid", price, withCost };
    return { usage: { ...reported, images }, source: "reported", price, withCost };
  } catch {
    return undefined;
  }
}

/** The top-level usage object. */
function usageIn(bytes: Buffer, members: Member[]): { value: object; hasMembers: boolean; end: number } | undefined {
  const member = members.find(({ key }) => key === "usage");
  if (!member || bytes[member.valueStart] !== 0x7b) return undefined;
  const value = JSON.parse(bytes.toString("utf8", member.valueStart, member.valueEnd)) as object;
  return { value, hasMembers: Object.keys(value).length > 0, end: member.valueEnd };
}

/** The form that was asked for; where that left the choice to the engine, what its answer says. */
function formIn({ inspection: { size, quality } }: Call, bytes: Buffer, members: Member[]) {
  const said = (key: string): string | null => {
    const member = members.find((each) => each.key === key);
    return member && bytes[member.valueStart] === 0x22 ? (JSON.parse(bytes.toString("utf8", member.valueStart, member.valueEnd)) as string) : null;
  };
  return { size: size ?? said("size"), quality: quality ?? said("quality") };
}

const pictureKey = Buffer.from('"b64_json"');

/** Pictures in an images answer; the key cannot stand inside base64 or, unescaped, inside another string. */
function imagesIn(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(pictureKey); at >= 0; at = bytes.indexOf(pictureKey, at + pictureKey.length)) count += 1;
  return count;
}
