import fc from "fast-check";
import { expect, test } from "vitest";
import { editMembers, membersOf, splice } from "../../../functions/proxy/json-members.ts";

/** JSON text in odd but valid spacing. */
function spaced(value: unknown, seed: number): string {
  return JSON.stringify(value, null, seed % 3 === 0 ? undefined : seed % 3 === 1 ? "\t" : " \r\n");
}

const object = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 8 });

test("membersOf() finds each top-level member of any JSON object", () => {
  fc.assert(
    fc.property(object, fc.nat(), (value, seed) => {
      const bytes = Buffer.from(spaced(value, seed));
      const { members, end } = membersOf(bytes);
      expect(members.map(({ key }) => key)).toEqual(Object.keys(value));
      for (const { key, valueStart, valueEnd } of members) {
        expect(JSON.parse(bytes.toString("utf8", valueStart, valueEnd))).toEqual(JSON.parse(JSON.stringify(value[key])));
      }
      expect(end).toBe(bytes.length);
    }),
  );
});

test("editMembers() drops and adds members and leaves every other byte as it came", () => {
  fc.assert(
    fc.property(object, fc.nat(), fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), fc.boolean(), (value, seed, drops, adds) => {
      const bytes = Buffer.from(spaced(value, seed));
      const found = membersOf(bytes);
      const dropped = new Set(found.members.map((_, index) => index).filter((index) => drops[index]));
      const edited = splice(bytes, editMembers(found, dropped, adds ? [`"added":1`] : []));
      const expected = Object.entries(value).filter((_, index) => !dropped.has(index));
      if (adds) expected.push(["added", 1]);
      const after = membersOf(edited);
      expect(after.members.map(({ key }) => key)).toEqual(expected.map(([key]) => key));
      JSON.parse(edited.toString("utf8"));
      const kept = found.members.filter((_, index) => !dropped.has(index));
      for (const [index, { valueStart, valueEnd }] of kept.entries()) {
        const member = after.members[index]!;
        expect(edited.subarray(member.valueStart, member.valueEnd)).toEqual(bytes.subarray(valueStart, valueEnd));
      }
    }),
  );
});

test("splice() keeps a 64-bit seed that JSON.parse would round", () => {
  const bytes = Buffer.from(`{"seed": 9223372036854775807, "user":"someone", "temperature":0.10}`);
  const found = membersOf(bytes);
  const edited = splice(bytes, editMembers(found, new Set([1]), [`"max_tokens":5`]));
  expect(edited.toString()).toBe(`{"seed": 9223372036854775807, "temperature":0.10,"max_tokens":5}`);
});
