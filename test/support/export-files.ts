/** Files of the usage log as their owner and the schedule call for them. */
import { expect } from "vitest";
import type { ObjectStore } from "#shared/object-store.ts";
import type { BuildAnswer } from "../../functions/export/file-build.ts";
import { pageBytesMax } from "../../functions/export/records.ts";
import type { Person, TestExport } from "./export.ts";

/** Bytes. Room for the header and one page: each is a part of its own, which real storage would find too small. */
export const onePage = pageBytesMax + 1_024;

export interface FileStatus {
  id: string;
  status: "queued" | "building" | "ready" | "failed";
  created_at: string;
  expires_at: string;
  query: Record<string, string | null>;
  rows: number;
  bytes: number | null;
}

export function createFiles(running: TestExport) {
  async function call<Answer>(person: Pick<Person, "key">, method: "GET" | "POST", path: string, body?: unknown): Promise<Answer> {
    const response = await running.ask(person, `/v1/usage/exports${path}`, {
      method,
      headers: { authorization: `Bearer ${person.key}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    expect(response.status).toBeLessThan(300);
    return (await response.json()) as Answer;
  }

  return {
    ask: (person: Pick<Person, "key">, query: Record<string, string> = {}) => call<FileStatus>(person, "POST", "", query),
    status: (person: Pick<Person, "key">, id: string) => call<FileStatus>(person, "GET", `/${id}`),
    list: (person: Pick<Person, "key">) => call<{ data: FileStatus[] }>(person, "GET", ""),
    link: (person: Pick<Person, "key">, id: string) => call<{ path: string; expires_at: string }>(person, "POST", `/${id}/link`),
    receipt: (person: Pick<Person, "key">, id: string) => call<Record<string, unknown>>(person, "GET", `/${id}/receipt`),
    follow: (path: string, headers: Record<string, string> = {}) => fetch(running.url + path, { headers }),
    async download(person: Pick<Person, "key">, id: string): Promise<string> {
      const { path } = await this.link(person, id);
      const response = await this.follow(path);
      expect(response.status).toBe(200);
      return response.text();
    },
    /** What the schedule does, until nothing is left to do. */
    async build(run: () => Promise<BuildAnswer> = running.buildWith({ partBytes: onePage })): Promise<BuildAnswer> {
      return run();
    },
  };
}

export type StoreCall = Exclude<keyof ObjectStore, "close">;

/** The store, of which the nth call ends as if the process had died: before it takes effect, or after. */
export function dyingStore(store: ObjectStore, nth: number, when: "before" | "after"): { store: ObjectStore; calls: StoreCall[] } {
  const calls: StoreCall[] = [];
  const names = ["beginUpload", "uploads", "putPart", "completeUpload", "endUpload", "sizeOf", "read", "remove", "keysAfter"] as const satisfies StoreCall[];
  const watched = names.map((name) => [
    name,
    async (...given: unknown[]) => {
      const isLast = calls.push(name) === nth;
      if (isLast && when === "before") throw new Error("killed");
      const answer = await (store[name] as (...parameters: unknown[]) => Promise<unknown>)(...given);
      if (isLast) throw new Error("killed");
      return answer;
    },
  ]);
  return { store: { ...store, ...Object.fromEntries(watched) }, calls };
}
