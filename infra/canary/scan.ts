/** One scan: canaries go through the public API, then every store is searched for them, and for its control. */
import { setTimeout as delay } from "node:timers/promises";
import { type Api, type Calls, newPathWord, sendCanaries, sendControl } from "./calls.ts";
import { type Canary, createCanary, type Disguise } from "./canary.ts";
import { createSearch, type Search } from "./search.ts";
import type { Planted, Store } from "./stores.ts";

/** A row of the evidence. A store that was searched without its control being found turns it red. */
export interface CanaryScan {
  bytesSearched: number;
  /** Those that the scanner was pointed at. */
  storesSearched: number;
  /** Those that it cannot be pointed at. */
  storesNotSearched: number;
  hits: number;
  controlsFound: number;
}

export interface StoreReport {
  store: string;
  /** Whether its control was found: otherwise nothing that was not found in it counts. */
  searched: boolean;
  bytes: number;
  unreadable: number;
  hits: Partial<Record<Disguise, number>>;
}

export interface Report {
  scannedAt: string;
  calls: Calls;
  bytesSearched: number;
  storesSearched: number;
  controlsFound: number;
  /** Pointed at, and without a control. */
  storesNotSearched: string[];
  cannotSearch: string[];
  hits: number;
  stores: StoreReport[];
}

export interface Parts {
  api: Api;
  stores: readonly Store[];
  cannotSearch: string[];
  /** How long a store may take until its control is there. */
  patienceMs: number;
  /** Has the database write to its files what it holds in memory. */
  flush(): Promise<void>;
}

/** Milliseconds between two searches of a store whose control is not there yet. */
const pauseMs = 1_000;

/** Throws where no engine answered: then there was nothing to find. */
export async function scan({ api, stores, cannotSearch, patienceMs, flush }: Parts): Promise<Report> {
  const canary = createCanary();
  const beganMs = Date.now();
  await using planted = new AsyncDisposableStack();
  // Where none can be planted none will be found, which says enough.
  for (const store of stores) await store.plant?.().then((remove) => planted.defer(remove), () => {});

  const calls = await sendCanaries(api, canary);
  if (calls.served === 0) throw new Error("Cannot scan: no call with a canary was served; check the key, its scopes and its balance");
  const pathWord = newPathWord();
  const requestId = await sendControl(api, pathWord);

  const found = await searchAll({ canary, stores, patienceMs, flush, planted: { beganMs, requestId, pathWord, email: api.email } });
  return reportOf(found, calls, cannotSearch, beganMs);
}

interface Task {
  canary: Canary;
  stores: readonly Store[];
  planted: Planted;
  patienceMs: number;
  flush(): Promise<void>;
}

/** Again and again those whose control is not there yet: what was written before it may not be there either. */
async function searchAll({ canary, stores, planted, patienceMs, flush }: Task): Promise<Map<string, Search>> {
  const deadline = performance.now() + patienceMs;
  const found = new Map<string, Search>();
  for (let waiting = stores; ; await delay(pauseMs)) {
    await flush();
    for (const store of waiting) {
      const search = createSearch(canary, store.control(planted), found.get(store.name)?.findings);
      // What cannot be read has no control; the reason may quote what nobody should.
      await store.search(search, planted).catch(() => (search.unreadable += 1));
      found.set(store.name, search);
    }
    waiting = waiting.filter(({ name }) => !found.get(name)!.hasControl);
    if (waiting.length === 0 || performance.now() > deadline) return found;
  }
}

function reportOf(found: Map<string, Search>, calls: Calls, cannotSearch: string[], beganMs: number): Report {
  const stores = [...found].map(([store, { hasControl, bytes, unreadable, findings }]): StoreReport => {
    const hits: StoreReport["hits"] = {};
    for (const { disguise } of findings) hits[disguise] = (hits[disguise] ?? 0) + 1;
    return { store, searched: hasControl, bytes, unreadable, hits };
  });
  const searched = stores.filter((one) => one.searched).length;
  return {
    scannedAt: new Date(beganMs).toISOString(),
    calls,
    bytesSearched: stores.reduce((sum, { bytes }) => sum + bytes, 0),
    storesSearched: searched,
    controlsFound: searched,
    storesNotSearched: stores.filter((one) => !one.searched).map(({ store }) => store),
    cannotSearch,
    hits: [...found.values()].reduce((sum, { findings }) => sum + findings.length, 0),
    stores,
  };
}

export function rowOf({ bytesSearched, stores, cannotSearch, hits, controlsFound }: Report): CanaryScan {
  return { bytesSearched, storesSearched: stores.length, storesNotSearched: cannotSearch.length, hits, controlsFound };
}

/** 0: every store searched and nothing found; 1: something found; 2: a store could not be searched. */
export function exitCodeOf({ hits, storesNotSearched }: Report): number {
  if (hits > 0) return 1;
  return storesNotSearched.length > 0 ? 2 : 0;
}
