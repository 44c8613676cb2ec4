/** The kinds of stores that can be searched, and how a control gets into each. */
import { randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createObjectStore, createS3Client } from "#shared/object-store.ts";
import { type Config, type FolderStore, type ObjectsStore, type PageStore, readText } from "./config.ts";
import { type Control, searchFolder, type Search } from "./search.ts";

/** What was planted outside of the stores, by calls of this scan. */
export interface Planted {
  beganMs: number;
  /** Of the last call: UUIDv7. */
  requestId: string;
  /** In the path of a call. */
  pathWord: string;
  email: string | undefined;
}

export interface Store {
  name: string;
  /** Puts a control into the store where none is made by calls; the answer is called to remove it. */
  plant?(): Promise<() => Promise<void>>;
  control(planted: Planted): Control;
  search(search: Search, planted: Planted): Promise<void>;
}

/** Milliseconds for a page of metrics or lines of a log. */
const pageTimeoutMs = 30_000;

export function storeOf(definition: Config["stores"][number]): Store {
  if (definition.kind === "folder") return folderStore(definition);
  return definition.kind === "url" ? pageStore(definition) : objectStore(definition);
}

function folderStore({ name, path, control, except, recentOnly }: FolderStore): Store {
  const word = `epithre-control-${randomUUID()}`;
  const file = join(path, word);
  return {
    name,
    ...(control === "file" && {
      async plant() {
        await writeFile(file, word, { mode: 0o600, flag: "wx" });
        return () => rm(file, { force: true });
      },
    }),
    control: (planted) => (control === "file" ? textControl(word) : controlByCalls(control, planted)),
    search: (search, { beganMs }) => searchFolder(search, path, { except, sinceMs: recentOnly ? beganMs : 0 }),
  };
}

function pageStore({ name, url, control, authorizationFile }: PageStore): Store {
  return {
    name,
    control: (planted) => controlByCalls(control, planted),
    async search(search) {
      const headers = new Headers(authorizationFile ? { authorization: readText(authorizationFile) } : {});
      const { ok, body } = await fetch(url, { headers, signal: AbortSignal.timeout(pageTimeoutMs) });
      if (!ok) throw new Error("Cannot read this page");
      if (body) await search.read(url, chunksOf(body));
    },
  };
}

/** The whole bucket, not only what functions put there. */
function objectStore({ name, url, bucket, region, loginFile }: ObjectsStore): Store {
  const [accessKeyId = "", secretAccessKey = ""] = readText(loginFile).split(":");
  const objects = createObjectStore(createS3Client({ url, region, login: { accessKeyId, secretAccessKey } }), bucket, "");
  const word = `epithre-control-${randomUUID()}`;
  return {
    name,
    async plant() {
      const upload = await objects.beginUpload(word);
      await objects.completeUpload(upload, [await objects.putPart(upload, 1, Buffer.from(word))]);
      return async () => {
        await objects.remove(word);
        objects.close();
      };
    },
    control: () => textControl(word),
    async search(search) {
      for (let keys = await objects.keysAfter(undefined); keys.length > 0; keys = await objects.keysAfter(keys.at(-1))) {
        for (const key of keys) {
          await search.read(`name of ${key}`, [Buffer.from(key)]);
          const content = await objects.read(key);
          if (content) await search.read(key, content);
        }
      }
    },
  };
}

/** What calls leave behind. An id stands in rows as its 16 bytes, in texts with its hyphens. */
function controlByCalls(control: Exclude<FolderStore["control"], "file">, { requestId, pathWord, email, beganMs }: Planted): Control {
  if (control === "request-id") return { forms: [Buffer.from(requestId), Buffer.from(requestId.replaceAll("-", ""), "hex")] };
  if (control === "path") return textControl(pathWord);
  if (control === "mail") return { forms: [Buffer.from(email!)], sinceMs: beganMs };
  return textControl(control.text);
}

const textControl = (text: string): Control => ({ forms: [Buffer.from(text)] });

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncIterable<Buffer> {
  for await (const chunk of body) yield Buffer.from(chunk);
}
