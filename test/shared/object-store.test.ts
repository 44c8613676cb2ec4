import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, DeleteObjectCommand, GetObjectCommand,
  HeadObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command, S3Client, S3ServiceException, UploadPartCommand,
} from "@aws-sdk/client-s3";
import { mockClient } from "aws-sdk-client-mock";
import { beforeEach, describe, expect, test } from "vitest";
import { namesRead } from "#shared/config.ts";
import { createObjectStore, createS3Client, ObjectStoreAway, objectStoreShape, UploadLost } from "#shared/object-store.ts";
import { createPrivateLookup, type ResolveAll } from "#shared/private-address.ts";

const s3 = mockClient(S3Client);
beforeEach(() => void s3.reset());

const login = { accessKeyId: "access-key", secretAccessKey: "secret-of-tests" };
const store = createObjectStore(createS3Client({ url: "http://127.0.0.1:1", region: "us-east-1", login }), "bucket", "folder/");
const upload = { key: "file", uploadId: "upload-1" };
const ofFile = { Bucket: "bucket", Key: "folder/file" };

const refusal = (name: string) => new S3ServiceException({ name, $fault: "client", $metadata: {}, message: "a text with folder/file in it" });

describe("createObjectStore()", () => {
  test("writes a file in parts, all of them in its folder of the bucket", async () => {
    s3.on(CreateMultipartUploadCommand, ofFile).resolves({ UploadId: "upload-1" });
    s3.on(UploadPartCommand, { ...ofFile, UploadId: "upload-1", PartNumber: 2, ContentLength: 3 }).resolves({ ETag: '"two"' });
    s3.on(CompleteMultipartUploadCommand, {
      ...ofFile, UploadId: "upload-1", MultipartUpload: { Parts: [{ ETag: '"one"', PartNumber: 1 }, { ETag: '"two"', PartNumber: 2 }] },
    }).resolves({});
    expect(await store.beginUpload("file")).toEqual(upload);
    expect(await store.putPart(upload, 2, Buffer.from("abc"))).toBe('"two"');
    await store.completeUpload(upload, ['"one"', '"two"']);
    expect(s3.commandCalls(CompleteMultipartUploadCommand)).toHaveLength(1);
  });

  test("lists its own uploads and keys by the names that they have in the folder", async () => {
    s3.on(ListMultipartUploadsCommand, { Bucket: "bucket", Prefix: "folder/file" }).resolves({ Uploads: [{ Key: "folder/file", UploadId: "upload-1" }] });
    s3.on(ListMultipartUploadsCommand, { Bucket: "bucket", Prefix: "folder/" }).resolves({});
    s3.on(ListObjectsV2Command, { Bucket: "bucket", Prefix: "folder/", StartAfter: "folder/a" }).resolves({ Contents: [{ Key: "folder/b" }] });
    expect(await store.uploads("file")).toEqual([upload]);
    expect(await store.uploads()).toEqual([]);
    expect(await store.keysAfter("a")).toEqual(["b"]);
  });

  test("says undefined of a file that is not there, and is content to delete it", async () => {
    s3.on(HeadObjectCommand).rejects(refusal("NotFound")).on(GetObjectCommand).rejects(refusal("NoSuchKey")).on(DeleteObjectCommand).rejects(refusal("NoSuchKey"));
    expect([await store.sizeOf("file"), await store.read("file", { from: 0, to: 9 }), await store.remove("file")]).toEqual([undefined, undefined, undefined]);
    expect(s3.commandCalls(GetObjectCommand, { ...ofFile, Range: "bytes=0-9" })).toHaveLength(1);
  });

  test.each(["NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"])("says UploadLost when the store answers %s", async (name) => {
    s3.on(UploadPartCommand).rejects(refusal(name)).on(CompleteMultipartUploadCommand).rejects(refusal(name)).on(AbortMultipartUploadCommand).rejects(refusal(name));
    await expect(store.putPart(upload, 1, Buffer.from("a"))).rejects.toBeInstanceOf(UploadLost);
    await expect(store.completeUpload(upload, ['"one"'])).rejects.toBeInstanceOf(UploadLost);
    await store.endUpload(upload);
  });

  test.each(["AccessDenied", "NoSuchBucket", "InternalError", "SlowDown", "TimeoutError"])("says ObjectStoreAway for %s, and quotes nothing of it", async (name) => {
    s3.onAnyCommand().rejects(refusal(name));
    const calls = [
      store.beginUpload("file"), store.uploads(), store.putPart(upload, 1, Buffer.from("a")), store.completeUpload(upload, []),
      store.endUpload(upload), store.sizeOf("file"), store.read("file"), store.remove("file"), store.keysAfter(undefined),
    ];
    for (const call of await Promise.allSettled(calls)) {
      const { reason } = call as PromiseRejectedResult;
      expect(reason).toBeInstanceOf(ObjectStoreAway);
      expect(JSON.stringify([(reason as Error).message, (reason as Error).cause])).not.toContain("file");
    }
  });
});

describe("the client of the store", () => {
  test("connects to no public address, whatever its name resolves to (path.lan)", async () => {
    s3.restore();
    const resolve: ResolveAll = (_hostname, _options, callback) => callback(null, [{ address: "192.0.2.1", family: 4 }]);
    const client = createS3Client({ url: "http://store.example:9000", region: "us-east-1", login }, createPrivateLookup(resolve));
    await expect(client.send(new HeadObjectCommand(ofFile))).rejects.toMatchObject({ code: "ENOTPRIVATE" });
    client.destroy();
  });
});

describe("its configuration", () => {
  const problem = (name: keyof typeof objectStoreShape, value: string) => objectStoreShape[name].schema.safeParse(value).error?.issues[0]?.message;

  test("takes a private address or a name, and a login in two parts, and refuses others without quoting them (path.lan)", () => {
    for (const url of ["http://object-store.epithre:9000", "https://10.0.0.9", "http://[fd00::1]:9000"]) expect(problem("objectStoreUrl", url)).toBeUndefined();
    for (const url of ["https://8.8.8.8", "http://[2001:4860:4860::8888]", "ftp://10.0.0.9", "store"]) expect([url, problem("objectStoreUrl", url)]).toEqual([url, expect.not.stringContaining(url)]);
    expect(objectStoreShape.objectStoreLogin.schema.parse("key:secret:with:colons")).toEqual({ accessKeyId: "key", secretAccessKey: "secret:with:colons" });
    for (const text of ["no-colon-in-it", "key:short", ":no-access-key"]) expect(problem("objectStoreLogin", text)).toMatch(/^must be an access key/);
    for (const bucket of ["", "Bucket", "a/b", "-a-"]) expect(problem("objectStoreBucket", bucket)).toBe("must be the name of a bucket");
    expect(namesRead(objectStoreShape).secrets).toEqual(["object-store-login"]);
  });
});
