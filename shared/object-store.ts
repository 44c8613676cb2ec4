/**
 * Files in S3-compatible storage on the private network. It is written in parts, of which one is in memory, and read as
 * fast as whoever it is for takes it. Nothing outside the private network is ever reached (path.lan).
 */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, DeleteObjectCommand, GetObjectCommand,
  HeadObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command, S3Client, S3ServiceException, UploadPartCommand,
} from "@aws-sdk/client-s3";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { z } from "zod";
import { secret, setting } from "./config.ts";
import { createPrivateLookup, mayBePrivate } from "./private-address.ts";

/** Bytes. S3 takes no smaller part, but the last; and 10,000 of them. */
export const partBytesMin = 5 * 1024 * 1024;

/** Names that one call of the store lists. */
const listedMax = 1_000;

const connectTimeoutMs = 2_000;

/** Milliseconds without a byte: a part of a few megabytes takes a fraction of a second on a private network. */
const silenceTimeoutMs = 10_000;

/** Connections of one process: downloads hold one each. */
const connectionsMax = 64;

/** Attempts at one call. */
const attemptsMax = 2;

export interface ObjectStoreSettings {
  url: string;
  bucket: string;
  region: string;
  login: { accessKeyId: string; secretAccessKey: string };
}

const httpAddress = z.url({ protocol: /^https?$/, abort: true, error: "must be an http or https address" }).refine(mayBePrivate, "must be an address of the private network: the store is never public");

/** What a function that stores files is configured by. */
export const objectStoreShape = {
  objectStoreUrl: setting("object_store_url", httpAddress),
  objectStoreBucket: setting("object_store_bucket", z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "must be the name of a bucket")),
  objectStoreRegion: setting("object_store_region", z.string().regex(/^[a-z0-9-]{1,32}$/, "must be the name of a region").default("us-east-1")),
  objectStoreLogin: secret(
    "object-store-login",
    z
      .string()
      .regex(/^[^:\s]{3,128}:[^\s]{8,128}$/, "must be an access key and its secret with a colon between: ACCESS-KEY:SECRET")
      .transform((text) => {
        const colon = text.indexOf(":");
        return { accessKeyId: text.slice(0, colon), secretAccessKey: text.slice(colon + 1) };
      }),
  ),
};

/** The store does not answer, or refuses; whether a call took effect is unknown. Quotes nothing of its answer. */
export class ObjectStoreAway extends Error {
  override readonly name = "ObjectStoreAway";
}

/** The store has no such upload, or other parts of it: it must be begun anew. */
export class UploadLost extends Error {
  override readonly name = "UploadLost";
}

export interface Upload {
  key: string;
  uploadId: string;
}

/** Of a file, from one byte to another, both counted; `to` beyond the end is the end. */
export interface ByteRange {
  from: number;
  to: number;
}

export interface ObjectStore {
  beginUpload(key: string): Promise<Upload>;
  /** Uploads that were begun and neither completed nor ended, up to a thousand: of one key, or of all. */
  uploads(key?: string): Promise<Upload[]>;
  /** Parts count from 1; the same again replaces the former. Answers what `completeUpload` names it by. */
  putPart(upload: Upload, part: number, bytes: Uint8Array): Promise<string>;
  /** Throws UploadLost where the store has other parts than these. */
  completeUpload(upload: Upload, etags: readonly string[]): Promise<void>;
  endUpload(upload: Upload): Promise<void>;
  /** Bytes; undefined where there is no such file. */
  sizeOf(key: string): Promise<number | undefined>;
  /** Undefined where there is no such file. Whoever takes it to its end or destroys it frees its connection. */
  read(key: string, range?: ByteRange): Promise<Readable | undefined>;
  /** Also when there is none. */
  remove(key: string): Promise<void>;
  /** The next keys in their order, up to a thousand; fewer when there are no more. */
  keysAfter(key: string | undefined): Promise<string[]>;
  close(): void;
}

/** Its names are looked up anew for each connection, and taken for private addresses only. */
export function createS3Client({ url, region, login }: Omit<ObjectStoreSettings, "bucket">, lookup = createPrivateLookup()): S3Client {
  const connection = { keepAlive: true, maxSockets: connectionsMax, lookup };
  return new S3Client({
    endpoint: url,
    region,
    credentials: login,
    // Stores on a private network have one name, not one for each bucket.
    forcePathStyle: true,
    maxAttempts: attemptsMax,
    // Each body is signed with its digest; further checksums are no part of what all stores know.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: new NodeHttpHandler({
      connectionTimeout: connectTimeoutMs,
      socketTimeout: silenceTimeoutMs,
      httpAgent: new HttpAgent(connection),
      httpsAgent: new HttpsAgent(connection),
    }),
  });
}

/** Keys are those in the folder, such as `exports/`: what else is in the bucket is neither seen nor touched. */
export function createObjectStore(client: S3Client, bucket: string, folder: string): ObjectStore {
  const ofBucket = { Bucket: bucket };
  const object = (key: string) => ({ ...ofBucket, Key: folder + key });
  const ofUpload = ({ key, uploadId }: Upload) => ({ ...object(key), UploadId: uploadId });
  const keyOf = (name: string) => name.slice(folder.length);

  return {
    async beginUpload(key) {
      const { UploadId } = await asked(client.send(new CreateMultipartUploadCommand(object(key))));
      return { key, uploadId: UploadId! };
    },
    async uploads(key = "") {
      const command = new ListMultipartUploadsCommand({ ...ofBucket, Prefix: folder + key, MaxUploads: listedMax });
      const { Uploads = [] } = await asked(client.send(command));
      return Uploads.map(({ Key, UploadId }) => ({ key: keyOf(Key!), uploadId: UploadId! }));
    },
    async putPart(upload, part, bytes) {
      const command = new UploadPartCommand({ ...ofUpload(upload), PartNumber: part, Body: bytes, ContentLength: bytes.length });
      return (await asked(client.send(command))).ETag!;
    },
    async completeUpload(upload, etags) {
      const parts = etags.map((etag, index) => ({ ETag: etag, PartNumber: index + 1 }));
      await asked(client.send(new CompleteMultipartUploadCommand({ ...ofUpload(upload), MultipartUpload: { Parts: parts } })));
    },
    async endUpload(upload) {
      await asked(client.send(new AbortMultipartUploadCommand(ofUpload(upload)))).catch(unlessLost);
    },
    async sizeOf(key) {
      const found = await askedIfThere(client.send(new HeadObjectCommand(object(key))));
      return found?.ContentLength;
    },
    async read(key, range) {
      const part = range && { Range: `bytes=${range.from}-${range.to}` };
      const found = await askedIfThere(client.send(new GetObjectCommand({ ...object(key), ...part })));
      return found?.Body as Readable | undefined;
    },
    async remove(key) {
      await askedIfThere(client.send(new DeleteObjectCommand(object(key))));
    },
    async keysAfter(key) {
      const from = key === undefined ? {} : { StartAfter: folder + key };
      const command = new ListObjectsV2Command({ ...ofBucket, Prefix: folder, MaxKeys: listedMax, ...from });
      const { Contents = [] } = await asked(client.send(command));
      return Contents.map(({ Key }) => keyOf(Key!));
    },
    close: () => client.destroy(),
  };
}

/** What a store says of an upload that it does not have so. */
const lostCodes = new Set(["NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"]);

/** Of what the store answers only the kind is told: its texts name keys and addresses. */
async function asked<Answer>(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer;
  } catch (thrown) {
    if (thrown instanceof S3ServiceException && lostCodes.has(thrown.name)) throw new UploadLost("Cannot go on with this upload: the store has another");
    if (isMissing(thrown)) throw thrown;
    throw new ObjectStoreAway("Cannot use the object store: it does not answer, or refuses");
  }
}

async function askedIfThere<Answer>(answer: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await asked(answer);
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
}

/** A bucket that is not there is the operator's mistake, not a file's absence. */
function isMissing(thrown: unknown): boolean {
  return thrown instanceof S3ServiceException && (thrown.name === "NoSuchKey" || thrown.name === "NotFound");
}

function unlessLost(thrown: unknown): void {
  if (!(thrown instanceof UploadLost)) throw thrown;
}
