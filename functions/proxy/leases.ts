/**
 * Holds on prepaid money. Billing leases this replica a slice of an account's balance; holds are taken from it in
 * memory, so the warm path asks nobody. Lease time is read from the monotonic clock and ends here well before the
 * database ends it: a replica that was paused or cut off cannot spend money that others may have been given. A key
 * with a monthly budget has a lease of its own, which billing grants within the budget.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "#shared/clock.ts";
import { EpithreError } from "#shared/errors.ts";
import type { InternalClient } from "#shared/http.ts";
import type { Log } from "#shared/log.ts";
import { holdMicroMax, type MicroRupiah } from "#shared/money.ts";
import {
  GrantAnswer,
  grantsPerCallMax,
  leasesPerSyncMax,
  needsPerGrantMax,
  SyncAnswer,
  type Grant,
} from "../billing/schema.ts";
import { refusal, type Refusal } from "./lease-refusal.ts";

/** Milliseconds between two reports on the leases held here; a recall is answered within it. */
const syncMs = 250;
/** Milliseconds without a hold after which a lease goes back. */
const idleMs = 5_000;
/** Share of a lease's time-to-live that is not spent here: room for clocks, pauses and slow answers. */
const safetyShare = 0.25;
/** Share of the time-to-live after which a lease is renewed. */
const renewShare = 0.4;
/** A first grant asks for this many holds like the one that needs it. */
const holdsAhead = 64;
/** Milliseconds that a grant should last: one used up sooner is followed by one of twice the size. */
const grantLastsMs = 5_000;
/** Below this share of the last grant, the next is asked for in the background. */
const lowShare = 0.25;
/** Milliseconds that a request waits for billing before it is told to try again. */
const waitMsMax = 3_000;
/** Milliseconds that a refusal stands while nothing was released: a broke account asks the database rarely. */
const refusedMs = 250;
const callTimeoutMs = 2_500;
/** Calls for grants under way: billing has as many connections. Accounts that ask meanwhile share the next call. */
const grantCallsMax = 4;
/** Holds that may wait for one account's money. */
const waitingMax = 2_000;

/** Money set aside for one request. */
export interface Hold {
  leaseId: string;
  /** Ends the hold: what was charged is spent, the rest can be held again. Later calls do nothing. */
  release(chargedMicro: MicroRupiah): void;
}

interface Lease {
  id: string;
  /** Granted and not yet known to be charged. */
  leftMicro: MicroRupiah;
  heldMicro: MicroRupiah;
  holds: number;
  /** Monotonic time after which no hold may be taken. */
  spendUntilMs: number;
  renewAtMs: number;
  usedAtMs: number;
  recalled: boolean;
}

/** The most that may be held instead of the whole amount when an account has only `spareMicro`; `undefined` for nothing. */
export type Fit = (spareMicro: MicroRupiah) => MicroRupiah | undefined;

interface Waiting {
  amountMicro: MicroRupiah;
  fit: Fit | undefined;
  sinceMs: number;
  resolve(hold: Hold): void;
  reject(error: EpithreError): void;
}

/** An account's money here: for one key with a budget, or for all keys that have none. */
interface Account {
  id: string;
  keyId: string | undefined;
  lease: Lease | undefined;
  waiting: Waiting[];
  asking: boolean;
  /** Not before this time is billing asked again for this account. */
  askAtMs: number;
  grantedMicro: MicroRupiah;
  grantedAtMs: number;
  refused: { leastMicro: MicroRupiah; spareMicro: MicroRupiah; untilMs: number; why: Refusal } | undefined;
}

export interface Leases {
  /**
   * Sets `amountMicro` aside. Synchronous when the lease has it. `keyId` where the key has a monthly budget. With `fit`
   * an account that cannot pay for it all is held what `fit` answered last. Throws `insufficient_quota` when the account
   * cannot pay for it, `budget_exceeded` when the budget cannot, `unavailable` when billing does not answer.
   */
  take(accountId: string, amountMicro: MicroRupiah, keyId?: string, fit?: Fit): Hold | Promise<Hold>;
  readonly open: number;
  /** Gives everything back that is not held. */
  close(): Promise<void>;
}

export interface LeasesDeps {
  billing: InternalClient;
  clock: Clock;
  log: Log;
  replicaId?: string;
}

export function createLeases({ billing, clock, log, replicaId = randomUUID() }: LeasesDeps): Leases {
  const accounts = new Map<string, Account>();
  const asking = new Set<Account>();
  let grantCalls = 0;
  let syncFailing = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  function accountOf(accountId: string, keyId: string | undefined): Account {
    const known = accounts.get(keyId ?? accountId);
    if (known) return known;
    const account: Account = {
      id: accountId,
      keyId,
      lease: undefined,
      waiting: [],
      asking: false,
      askAtMs: 0,
      grantedMicro: 0,
      grantedAtMs: 0,
      refused: undefined,
    };
    accounts.set(keyId ?? accountId, account);
    return account;
  }

  function tryHold(account: Account, amountMicro: MicroRupiah): Hold | undefined {
    const { lease } = account;
    const nowMs = clock.monotonicMs();
    if (!lease || nowMs >= lease.spendUntilMs || lease.leftMicro - lease.heldMicro < amountMicro) return undefined;
    lease.heldMicro += amountMicro;
    lease.holds += 1;
    lease.usedAtMs = nowMs;
    let open = true;
    return {
      leaseId: lease.id,
      release(chargedMicro) {
        if (!open) return;
        open = false;
        lease.holds -= 1;
        lease.heldMicro -= amountMicro;
        lease.leftMicro -= Math.min(chargedMicro, lease.leftMicro);
        lease.usedAtMs = clock.monotonicMs();
        account.refused = undefined;
        serveWaiting(account);
      },
    };
  }

  /** First come, first served: a small hold does not overtake a large one that waits. */
  function serveWaiting(account: Account): void {
    while (account.waiting.length > 0) {
      const hold = tryHold(account, account.waiting[0]!.amountMicro);
      if (!hold) break;
      account.waiting.shift()!.resolve(hold);
    }
    if (account.waiting.length > 0) ask(account);
  }

  function ask(account: Account): void {
    if (account.asking) return;
    account.asking = true;
    const delayMs = account.askAtMs - clock.monotonicMs();
    if (delayMs > 0) setTimeout(enqueue, delayMs, account);
    else enqueue(account);
  }

  function enqueue(account: Account): void {
    if (asking.size === 0) queueMicrotask(grantAll);
    asking.add(account);
  }

  function grantAll(): void {
    while (asking.size > 0 && grantCalls < grantCallsMax) {
      const batch = [...asking].slice(0, grantsPerCallMax);
      for (const account of batch) asking.delete(account);
      grantCalls += 1;
      void grantBatch(batch).finally(() => {
        grantCalls -= 1;
        grantAll();
      });
    }
  }

  async function grantBatch(batch: Account[]): Promise<void> {
    const sentAtMs = clock.monotonicMs();
    const requests = batch.map((account) => {
      const needs = account.waiting.slice(0, needsPerGrantMax).map((waiting) => waiting.amountMicro);
      const busy = sentAtMs - account.grantedAtMs < grantLastsMs;
      const wanted = Math.max((needs[0] ?? 0) * holdsAhead, account.grantedMicro * (busy ? 2 : 0.5));
      // Only what the lease lacks is asked for: the rest of the first need is already here.
      if (needs.length > 0) needs[0] = Math.max(0, needs[0]! - freeMicro(account.lease, sentAtMs));
      return {
        accountId: account.id,
        keyId: account.keyId,
        // Also one that is no longer spent here: if it still lives, its running holds keep it.
        leaseId: account.lease?.id ?? null,
        needsMicro: needs.length > 0 ? needs : [0],
        wantMicro: Math.min(Math.floor(holdMicroMax / 4), Math.ceil(wanted)),
      };
    });
    try {
      const { grants } = await billing.post("/leases/grant", { replicaId, requests }, GrantAnswer, callTimeoutMs);
      for (const [index, account] of batch.entries()) apply(account, grants[index]!, sentAtMs);
    } catch {
      for (const account of batch) failed(account);
    }
  }

  function apply(account: Account, grant: Grant, sentAtMs: number): void {
    account.asking = false;
    account.askAtMs = 0;
    if (grant.outcome === "granted") {
      const lease = account.lease?.id === grant.leaseId ? account.lease : newLease(grant.leaseId, sentAtMs);
      lease.leftMicro += grant.grantedMicro;
      extend(lease, sentAtMs, grant.ttlMs);
      account.lease = lease;
      account.grantedMicro = grant.grantedMicro;
      account.grantedAtMs = sentAtMs;
      serveWaiting(account);
      return;
    }
    account.grantedMicro = 0;
    if (grant.outcome === "recalling") {
      account.askAtMs = clock.monotonicMs() + grant.retryMs;
      refuseLate(account, sentAtMs);
      if (account.waiting.length > 0) ask(account);
      return;
    }
    if (account.waiting.length === 0) return;
    const nowMs = clock.monotonicMs();
    const spareMicro = freeMicro(account.lease, nowMs) + grant.availableMicro;
    account.refused = { leastMicro: account.waiting[0]!.amountMicro, spareMicro, untilMs: nowMs + refusedMs, why: grant };
    const waiting = account.waiting;
    account.waiting = [];
    for (const each of waiting) {
      const fittingMicro = each.amountMicro > spareMicro ? each.fit?.(spareMicro) : each.amountMicro;
      if (fittingMicro === undefined) each.reject(refusal(grant, each.amountMicro));
      else account.waiting.push({ ...each, amountMicro: fittingMicro });
    }
    serveWaiting(account);
  }

  function failed(account: Account): void {
    account.asking = false;
    account.askAtMs = clock.monotonicMs() + syncMs;
    refuseLate(account, clock.monotonicMs());
    if (account.waiting.length > 0) ask(account);
  }

  function refuseLate(account: Account, nowMs: number): void {
    account.waiting = account.waiting.filter((waiting) => {
      if (nowMs - waiting.sinceMs < waitMsMax) return true;
      waiting.reject(
        new EpithreError("unavailable", "Cannot reserve credit right now: try again shortly", { retryAfterS: 1 }),
      );
      return false;
    });
  }

  /** Leases that something is to be said about: renewed, shrunk after a recall, or closed. */
  function report(nowMs: number) {
    const reports = [];
    for (const account of accounts.values()) {
      const { lease } = account;
      if (!lease) continue;
      const idle = nowMs - lease.usedAtMs >= idleMs;
      const unwanted = lease.holds === 0 && account.waiting.length === 0 && !account.asking;
      const close = closed ? lease.holds === 0 : unwanted && (idle || lease.recalled);
      if (!close && !lease.recalled && nowMs < lease.renewAtMs) continue;
      const returnMicro = lease.recalled && !close ? Math.max(0, lease.leftMicro - lease.heldMicro) : 0;
      // What goes back is gone here at once: the answer may be lost, the money is not spent twice.
      lease.leftMicro -= returnMicro;
      if (close) account.lease = undefined;
      reports.push({
        account,
        lease,
        line: { leaseId: lease.id, accountId: account.id, renew: !close, returnMicro, recallAnswered: lease.recalled, close },
      });
      lease.recalled = false;
      if (reports.length === leasesPerSyncMax) break;
    }
    return reports;
  }

  async function sync(): Promise<void> {
    const nowMs = clock.monotonicMs();
    const reports = report(nowMs);
    if (reports.length === 0 && ![...accounts.values()].some((account) => account.lease)) return;
    try {
      const body = { replicaId, leases: reports.map(({ line }) => line) };
      const answer = await billing.post("/leases/sync", body, SyncAnswer, callTimeoutMs);
      for (const [index, { account, lease, line }] of reports.entries()) {
        const { gone, ttlMs } = answer.leases[index]!;
        if (line.close) continue;
        if (gone && account.lease === lease) account.lease = undefined;
        else if (!gone) extend(lease, nowMs, ttlMs);
      }
      const recalled = new Set(answer.recalled);
      for (const { lease } of accounts.values()) if (lease && recalled.has(lease.id)) lease.recalled = true;
      syncFailing = false;
    } catch {
      if (!syncFailing) log({ at: "lease_sync_failed", leases: reports.length });
      syncFailing = true;
    }
    forgetIdle(nowMs);
  }

  function forgetIdle(nowMs: number): void {
    for (const account of accounts.values()) {
      if (account.lease && nowMs >= account.lease.spendUntilMs && account.lease.holds === 0) account.lease = undefined;
      if (!account.lease && account.waiting.length === 0 && !account.asking) accounts.delete(account.keyId ?? account.id);
    }
  }

  async function loop(): Promise<void> {
    await sync();
    if (!closed) timer = setTimeout(loop, syncMs);
  }
  timer = setTimeout(loop, syncMs);

  return {
    take(accountId, wholeMicro, keyId, fit) {
      let amountMicro = wholeMicro;
      if (!Number.isSafeInteger(amountMicro) || amountMicro < 0) throw new RangeError("a hold is a number of micro-rupiah");
      const account = accountOf(accountId, keyId);
      if (account.waiting.length === 0) {
        const hold = tryHold(account, amountMicro);
        if (hold) {
          if (runsLow(account)) ask(account);
          return hold;
        }
      }
      const nowMs = clock.monotonicMs();
      const { refused } = account;
      if (refused && nowMs < refused.untilMs && amountMicro >= refused.leastMicro) {
        const fittingMicro = fit?.(refused.spareMicro);
        if (fittingMicro === undefined) throw refusal(refused.why, amountMicro);
        amountMicro = fittingMicro;
      }
      if (account.waiting.length >= waitingMax) {
        throw new EpithreError("overloaded", "Cannot reserve credit now: too many requests of this account wait. Try again.", {
          retryAfterS: 1,
        });
      }
      return new Promise((resolve, reject) => {
        account.waiting.push({ amountMicro, fit, sinceMs: nowMs, resolve, reject });
        ask(account);
      });
    },
    get open() {
      return [...accounts.values()].filter((account) => account.lease).length;
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await sync();
    },
  };
}

/** What can be held of a lease now. */
function freeMicro(lease: Lease | undefined, nowMs: number): MicroRupiah {
  return lease && nowMs < lease.spendUntilMs ? Math.max(0, lease.leftMicro - lease.heldMicro) : 0;
}

function newLease(id: string, nowMs: number): Lease {
  return { id, leftMicro: 0, heldMicro: 0, holds: 0, spendUntilMs: 0, renewAtMs: 0, usedAtMs: nowMs, recalled: false };
}

/** The time-to-live counts from before the call was sent, so it can only end earlier here than in the database. */
function extend(lease: Lease, sentAtMs: number, ttlMs: number): void {
  lease.spendUntilMs = sentAtMs + ttlMs * (1 - safetyShare);
  lease.renewAtMs = sentAtMs + ttlMs * renewShare;
}

/** Asks ahead only while billing gives more than what was needed: near zero balance every hold is exact. */
function runsLow({ lease, grantedMicro }: Account): boolean {
  return lease !== undefined && grantedMicro > 0 && lease.leftMicro - lease.heldMicro < grantedMicro * lowShare;
}
