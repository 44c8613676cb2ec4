import { rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LocalObjectStore, startObjectStore } from "#infra/local/object-store.ts";
import { createObjectStore, createS3Client, type ObjectStore, ObjectStoreAway } from "#shared/object-store.ts";
import { contract } from "../support/object-store-contract.ts";

const folder = mkdtempSync(join(tmpdir(), "epithre-store-"));
let local: LocalObjectStore;
let store: ObjectStore;

const storeOf = (accessKeyId: string, bucket = local.bucket) =>
  createObjectStore(createS3Client({ url: local.url, region: "us-east-1", login: { accessKeyId, secretAccessKey: "secret-of-tests" } }), bucket, "folder/");

beforeAll(async () => {
  local = await startObjectStore(folder, "secret-of-tests");
  store = storeOf("epithre-local");
});
afterAll(async () => {
  store.close();
  await local.close();
  rmSync(folder, { recursive: true });
});

describe("the local object store", () => {
  test.each(Object.entries(contract))("%s", async (_, shows) => {
    await shows(store);
  });

  test("knows no other caller and no other bucket", async () => {
    expect((await fetch(`${local.url}/${local.bucket}/folder/file`)).status).toBe(403);
    for (const other of [storeOf("somebody"), storeOf("epithre-local", "another")]) {
      await expect(other.keysAfter(undefined)).rejects.toBeInstanceOf(ObjectStoreAway);
      other.close();
    }
  });

  test("keeps its files over a restart", async () => {
    const upload = await store.beginUpload("kept");
    await store.completeUpload(upload, [await store.putPart(upload, 1, Buffer.from("kept"))]);
    await local.close();
    store.close();
    local = await startObjectStore(folder, "secret-of-tests");
    store = storeOf("epithre-local");
    expect(await store.sizeOf("kept")).toBe(4);
    await store.remove("kept");
  });
});
