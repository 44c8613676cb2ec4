/** What any S3-compatible storage must do for us, asked of one that runs: the local one's test and the real one's are the same. */
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { type ObjectStore, partBytesMin, UploadLost } from "#shared/object-store.ts";

async function bytesOf(store: ObjectStore, key: string, range?: { from: number; to: number }): Promise<Buffer | undefined> {
  const file = await store.read(key, range);
  if (!file) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of file) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Each by what it shows; the store is empty before and after. */
export const contract: Record<string, (store: ObjectStore) => Promise<void>> = {
  "keeps a file of several parts, also of a part that was sent twice, and deletes it": async (store) => {
    const [key, parts] = [randomUUID(), [randomBytes(partBytesMin), randomBytes(partBytesMin + 1), randomBytes(7)]];
    const upload = await store.beginUpload(key);
    const etags: string[] = [];
    await store.putPart(upload, 2, randomBytes(partBytesMin));
    for (const [index, bytes] of parts.entries()) etags.push(await store.putPart(upload, index + 1, bytes));
    assert.equal(await store.sizeOf(key), undefined);
    assert.deepEqual(await store.uploads(key), [upload]);
    await store.completeUpload(upload, etags);
    const whole = Buffer.concat(parts);
    assert.equal(await store.sizeOf(key), whole.length);
    assert.ok((await bytesOf(store, key))!.equals(whole));
    const range = { from: partBytesMin - 3, to: partBytesMin + 3 };
    assert.ok((await bytesOf(store, key, range))!.equals(whole.subarray(range.from, range.to + 1)));
    assert.deepEqual(await store.uploads(), []);
    await store.remove(key);
    assert.equal(await store.sizeOf(key), undefined);
    assert.equal(await bytesOf(store, key), undefined);
    await store.remove(key);
  },
  "refuses to complete an upload by other parts than it has, and what goes on with one that ended": async (store) => {
    const upload = await store.beginUpload(randomUUID());
    const etag = await store.putPart(upload, 1, Buffer.from("one"));
    const other = etag.replace(/[0-9a-f]{8}/, (digits) => [...digits].map((digit) => ((Number.parseInt(digit, 16) + 1) % 16).toString(16)).join(""));
    await assert.rejects(store.completeUpload(upload, [other]), UploadLost);
    await assert.rejects(store.completeUpload(upload, [etag, etag]), UploadLost);
    await store.endUpload(upload);
    await store.endUpload(upload);
    assert.deepEqual(await store.uploads(), []);
    await assert.rejects(store.putPart(upload, 2, Buffer.from("two")), UploadLost);
    assert.equal(await store.sizeOf(upload.key), undefined);
  },
  "lists keys in their order, and uploads of one key": async (store) => {
    const keys = [randomUUID(), randomUUID(), randomUUID()].sort();
    for (const key of keys.toReversed()) {
      const upload = await store.beginUpload(key);
      await store.completeUpload(upload, [await store.putPart(upload, 1, Buffer.from(key))]);
    }
    assert.deepEqual(await store.keysAfter(undefined), keys);
    assert.deepEqual(await store.keysAfter(keys[0]), keys.slice(1));
    assert.deepEqual(await store.keysAfter(keys[2]), []);
    const uploads = [await store.beginUpload(keys[0]!), await store.beginUpload(keys[1]!)];
    assert.deepEqual(await store.uploads(keys[1]), [uploads[1]]);
    assert.equal((await store.uploads()).length, 2);
    for (const upload of uploads) await store.endUpload(upload);
    for (const key of keys) await store.remove(key);
    assert.deepEqual(await store.keysAfter(undefined), []);
  },
};
