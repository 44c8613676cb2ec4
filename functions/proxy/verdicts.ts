/**
 * What each presented key may do, in memory and fresh: key-auth's change feed is polled, and while it answers, every
 * verdict it has not named is still true. A revoked key or suspended account stops new calls within one second.
 */
import { EpithreError } from "#shared/errors.ts";
import type { Clock } from "#shared/clock.ts";
import type { InternalClient } from "#shared/http.ts";
import { hashKey, invalidKey, presentedKey } from "#shared/keys.ts";
import type { Log } from "#shared/log.ts";
import { ChangesAnswer, VerdictsAnswer, verdictsPerCallMax, type Verdict } from "../key-auth/schema.ts";

/** Milliseconds between two polls of the feed. */
const pollMs = 250;
/** Milliseconds without an answer of the feed after which no verdict counts: the promised cut-off of revocation. */
const staleMs = 1_000;
/** Milliseconds to wait for key-auth: longer than that and the caller is better off trying again. */
const callTimeoutMs = 900;
/** Verdicts in memory, about 500 bytes each. Unknown keys count too; the oldest go first. */
const verdictsMax = 200_000;
/** Times that a verdict which changed while it was fetched is fetched again. */
const fetchesMax = 4;

type Looked = Verdict | null;

interface Lookup {
  promise: Promise<Looked>;
  resolve(verdict: Looked): void;
  reject(thrown: unknown): void;
  /** The feed named this key, or some account, while the lookup was under way. */
  dirty: boolean;
  fetches: number;
}

export interface Verdicts {
  /** The verdict about a presented key; throws the caller's error. Synchronous when it is in memory. */
  of(authorization: string | undefined): Verdict | Promise<Verdict>;
  /** `false` while the feed is stale. */
  readonly fresh: boolean;
  close(): void;
}

export interface VerdictsDeps {
  keyAuth: InternalClient;
  clock: Clock;
  log: Log;
  /** Called for each account that is no longer active: its running streams end. */
  onAccountStopped(accountId: string): void;
  /** The database's clock, with every answer of the feed. */
  onDatabaseTime(nowMs: number): void;
}

export function createVerdicts({ keyAuth, clock, log, onAccountStopped, onDatabaseTime }: VerdictsDeps): Verdicts {
  const known = new Map<string, Looked>();
  const hashesOf = new Map<string, Set<string>>();
  const lookups = new Map<string, Lookup>();
  let asked: string[] = [];
  let cursor: string | null = null;
  let freshAtMs = Number.NEGATIVE_INFINITY;
  let wasFresh = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const isFresh = () => clock.monotonicMs() - freshAtMs < staleMs;

  function remember(hash: string, verdict: Looked): void {
    if (known.size >= verdictsMax) forget(known.keys().next().value!);
    known.set(hash, verdict);
    if (!verdict) return;
    const hashes = hashesOf.get(verdict.accountId) ?? new Set();
    hashesOf.set(verdict.accountId, hashes.add(hash));
  }

  function forget(hash: string): void {
    const verdict = known.get(hash);
    known.delete(hash);
    if (!verdict) return;
    const hashes = hashesOf.get(verdict.accountId);
    hashes?.delete(hash);
    if (hashes?.size === 0) hashesOf.delete(verdict.accountId);
  }

  function forgetAll(): void {
    known.clear();
    hashesOf.clear();
    for (const lookup of lookups.values()) lookup.dirty = true;
  }

  function apply(changes: ChangesAnswer): void {
    if (changes.reset) forgetAll();
    for (const hash of changes.keyHashes) {
      forget(hash);
      const lookup = lookups.get(hash);
      if (lookup) lookup.dirty = true;
    }
    for (const { accountId, status } of changes.accounts) {
      for (const hash of [...(hashesOf.get(accountId) ?? [])]) forget(hash);
      if (status !== "active") onAccountStopped(accountId);
    }
    if (changes.accounts.length > 0) for (const lookup of lookups.values()) lookup.dirty = true;
  }

  async function poll(): Promise<void> {
    const sentAtMs = clock.monotonicMs();
    try {
      const changes = await keyAuth.post("/changes", { cursor }, ChangesAnswer, callTimeoutMs);
      // A first cursor, or one after a gap, says nothing about what was learnt before it.
      if (cursor === null) forgetAll();
      apply(changes);
      cursor = changes.cursor;
      freshAtMs = sentAtMs;
      onDatabaseTime(changes.databaseNowMs);
      if (!wasFresh) log({ at: "feed_fresh" });
      wasFresh = true;
    } catch {
      if (wasFresh && !isFresh()) {
        wasFresh = false;
        log({ at: "feed_stale", ageMs: Math.round(clock.monotonicMs() - freshAtMs) });
      }
    }
    if (!closed) timer = setTimeout(poll, Math.max(0, pollMs - (clock.monotonicMs() - sentAtMs)));
  }

  async function fetchAsked(): Promise<void> {
    const hashes = asked.slice(0, verdictsPerCallMax);
    asked = asked.slice(verdictsPerCallMax);
    if (asked.length > 0) queueMicrotask(fetchAsked);
    for (const hash of hashes) lookups.get(hash)!.dirty = false;
    try {
      const { verdicts } = await keyAuth.post("/verdicts", { hashes }, VerdictsAnswer, callTimeoutMs);
      for (const [index, hash] of hashes.entries()) settle(hash, verdicts[index] ?? null);
    } catch (thrown) {
      for (const hash of hashes) {
        lookups.get(hash)?.reject(thrown);
        lookups.delete(hash);
      }
    }
  }

  function settle(hash: string, verdict: Looked): void {
    const lookup = lookups.get(hash)!;
    lookup.fetches += 1;
    if (lookup.dirty && lookup.fetches < fetchesMax) {
      ask(hash);
      return;
    }
    lookups.delete(hash);
    if (!lookup.dirty) remember(hash, verdict);
    lookup.resolve(verdict);
  }

  function ask(hash: string): void {
    if (asked.length === 0) queueMicrotask(fetchAsked);
    asked.push(hash);
  }

  function lookUp(hash: string): Promise<Looked> {
    const under = lookups.get(hash);
    if (under) return under.promise;
    const lookup: Lookup = { ...Promise.withResolvers<Looked>(), dirty: false, fetches: 0 };
    lookups.set(hash, lookup);
    ask(hash);
    return lookup.promise;
  }

  function judge(verdict: Looked): Verdict {
    if (!verdict || (verdict.expiresAtMs !== null && verdict.expiresAtMs <= clock.wallMs())) throw invalidKey();
    if (verdict.accountStatus !== "active") {
      throw new EpithreError("account_suspended", "Cannot serve this account: it is suspended or closed. Write to hello@epithre.com.");
    }
    return verdict;
  }

  void poll();

  return {
    of(authorization) {
      const key = presentedKey(authorization);
      if (!isFresh()) {
        throw new EpithreError("unavailable", "Cannot check API keys right now: try again shortly", {
          retryAfterS: 1 + Math.floor(Math.random() * 3),
        });
      }
      const hash = hashKey(key);
      const verdict = known.get(hash);
      return verdict === undefined ? lookUp(hash).then(judge) : judge(verdict);
    },
    get fresh() {
      return isFresh();
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
