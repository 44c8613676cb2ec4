/**
 * Builds files of the usage log, part by part, and deletes those that are over. After each part the row says how far the
 * file is: whoever ends in the middle, killed or out of time, leaves the rest to the next run, which goes on from there.
 */
import type { Clock } from "#shared/clock.ts";
import { sqlState, type Sql } from "#shared/db.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import type { Log } from "#shared/log.ts";
import { type ObjectStore, ObjectStoreAway, partBytesMin, type Upload, UploadLost } from "#shared/object-store.ts";
import { createSingleFlight } from "#shared/single-flight.ts";
import { exportHours } from "#shared/stored-data.ts";
import { gatherPart } from "./file-part.ts";
import { endExports, type ExportRow, finishExport, notePart, restartExport, takeTurn } from "./file-queries.ts";
import { sweepStore } from "./file-sweep.ts";
import { pageBytesMax } from "./records.ts";

export interface BuildDeps {
  /** Opens one connection, which lives as long as a run. */
  open: () => Sql;
  database: DatabasePool;
  store: ObjectStore;
  clock: Clock;
  log: Log;
  /** Of what a part is gathered in: less in tests, where the store allows it. */
  partBytes?: number;
}

export interface BuildAnswer {
  parts: number;
  ready: number;
  ended: number;
  removed: number;
}

interface Turn {
  row: ExportRow;
  /** For one part after the other. */
  room: Buffer;
  done: BuildAnswer;
  /** For another part in this run. */
  isTime(): boolean;
}

/** Bytes that a part is gathered in, and all that building takes of memory. It ends where no page fits any more, above what S3 takes. */
const partBytesDefault = partBytesMin + 2 * pageBytesMax;

/** Milliseconds of one run, below the gateway's time-out; what is left has its turn in the next run. */
const runMsMax = 45_000;

/** Milliseconds after which the next export has its turn: one large file holds up no small one. */
const turnMsMax = 10_000;

/** Rows that are ended in one statement. */
const endedMax = 1_000;

/** Times that a file is begun anew, where the store lost what it had. */
const restartsMax = 5;

export function createFileBuild({ open, database, store, clock, log, partBytes = partBytesDefault }: BuildDeps): () => Promise<BuildAnswer> {
  const exclusively = createSingleFlight(open, "export");
  /** Made with the first file, and kept. */
  let room: Buffer | undefined;

  return async function run() {
    const done: BuildAnswer = { parts: 0, ready: 0, ended: 0, removed: 0 };
    const startedMs = clock.monotonicMs();
    try {
      await exclusively((connection) => work(connection, done, startedMs));
      return done;
    } catch (thrown) {
      if (thrown instanceof ObjectStoreAway) log({ at: "object_store_away" });
      else if (!(thrown instanceof EpithreError)) log({ at: "handler_failed", kind: "database", sqlState: sqlState(thrown) });
      throw new EpithreError("unavailable", "Cannot go on with exports now: the database or the object store does not answer; the next run does", {
        retryAfterS: 60,
      });
    } finally {
      const durationMs = Math.round(clock.monotonicMs() - startedMs);
      if (Object.values(done).some((count) => count > 0)) log({ at: "exports_run", ...done, durationMs });
    }
  };

  /** What is over goes first: building waits for it, never the other way round. */
  async function work(connection: Sql, done: BuildAnswer, startedMs: number): Promise<void> {
    done.ended = await endExports(connection, exportHours, endedMax);
    done.removed = await sweepStore(connection, store);
    const isTime = () => clock.monotonicMs() - startedMs < runMsMax;
    for (let row = await takeTurn(connection); row && isTime(); row = await takeTurn(connection)) {
      room ??= Buffer.alloc(partBytes);
      await build(connection, { row, room, done, isTime });
    }
  }

  async function build(connection: Sql, { row, room, done, isTime }: Turn): Promise<void> {
    const turnFromMs = clock.monotonicMs();
    try {
      const upload = await findUpload(row);
      let at = row;
      while (upload !== "complete" && !isWhole(at)) {
        if (!isTime() || clock.monotonicMs() - turnFromMs > turnMsMax) return;
        const next = await buildPart(connection, at, upload, room);
        // Someone else goes on with it, or it has ended meanwhile.
        if (!next) return;
        at = next;
        done.parts += 1;
      }
      if (upload !== "complete") await store.completeUpload(upload, at.etags);
      if (await finishExport(connection, row.id, at.etags.length)) done.ready += 1;
    } catch (thrown) {
      if (!(thrown instanceof UploadLost)) throw thrown;
      await restartExport(connection, row.id, restartsMax);
    }
  }

  /** The upload that has the parts that are noted. Throws UploadLost when there is none or more than one. */
  async function findUpload({ id, etags, bytes }: ExportRow): Promise<Upload | "complete"> {
    const uploads = await store.uploads(id);
    if (etags.length > 0) {
      if (uploads.length === 1) return uploads[0]!;
      // It was completed, and nobody lived to say so.
      if (uploads.length === 0 && (await store.sizeOf(id)) === Number(bytes)) return "complete";
      throw new UploadLost("Cannot go on with this export: the store has no upload of it, or several");
    }
    for (const upload of uploads) await store.endUpload(upload);
    return store.beginUpload(id);
  }

  async function buildPart(connection: Sql, row: ExportRow, upload: Upload, room: Buffer): Promise<ExportRow | undefined> {
    const { bytes, begun, ...reached } = await gatherPart(database, row, room);
    const part = row.etags.length + 1;
    const etag = await store.putPart(upload, part, bytes);
    const allBytes = Number(row.bytes) + bytes.length;
    // By the connection that holds the lock: without it nothing is noted.
    if (!(await notePart(connection, { id: row.id, part, etag, bytes: allBytes, begun, ...reached }))) return undefined;
    return { ...row, ...reached, etags: [...row.etags, etag], bytes: BigInt(allBytes), records: BigInt(begun.size), subtrees: begun.subtrees };
  }
}

/** Nothing is left to look at. */
function isWhole({ etags, cursorId }: ExportRow): boolean {
  return etags.length > 0 && cursorId === null;
}
