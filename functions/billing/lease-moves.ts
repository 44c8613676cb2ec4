/**
 * Calls that move leases, on their way to the database. Each changes its accounts' rows of balances, and the next one on
 * such a row waits for that commit: so calls gather while an account of theirs is moved, and then share one transaction.
 * Calls of other accounts do not wait for it.
 */
import type { Clock } from "#shared/clock.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import type { LeaseAnswer, LeaseCall } from "./lease-changes.ts";
import { moveLeasesInSet, moveLeasesOneByOne } from "./queries.ts";
import { grantsPerCallMax, leasesPerSyncMax } from "./schema.ts";

/** Transactions under way: as many as the database has connections. */
const transactionsMax = 4;
/** Milliseconds until a call must have begun; the replica gives up after 2.5 s, and the database has 1.5 of them. */
const waitMsMax = 500;

export type MoveLeases = (call: LeaseCall) => Promise<LeaseAnswer>;

export interface LeaseMovesDeps {
  database: DatabasePool;
  clock: Clock;
  leaseTtlMs: number;
  moveInSet?: typeof moveLeasesInSet;
}

interface Waiting {
  call: LeaseCall;
  /** Whose balances it changes. */
  accounts: string[];
  sinceMs: number;
  resolve(answer: LeaseAnswer): void;
  reject(thrown: unknown): void;
}

export function createLeaseMoves({ database, clock, leaseTtlMs, moveInSet = moveLeasesInSet }: LeaseMovesDeps): MoveLeases {
  let waiting: Waiting[] = [];
  let underWay = 0;
  let starting = false;
  const moving = new Set<string>();

  /** What else comes in this turn of the event loop joins. */
  function startSoon(): void {
    if (starting) return;
    starting = true;
    setImmediate(() => {
      starting = false;
      while (underWay < transactionsMax) {
        const batch = takeBatch();
        if (batch.length === 0) return;
        void run(batch);
      }
    });
  }

  /**
   * The first call whose accounts are free, and those that share accounts with it; with the last connection all that can
   * go. A call that stays keeps later ones off its accounts.
   */
  function takeBatch(): Waiting[] {
    const isLast = underWay === transactionsMax - 1;
    const batch: Waiting[] = [];
    const taken = new Set<string>();
    const kept = new Set<string>();
    let requests = 0;
    let reports = 0;
    waiting = waiting.filter((each) => {
      if (isRefused(each)) return false;
      const { call, accounts } = each;
      const isFree = !accounts.some((id) => moving.has(id) || kept.has(id));
      const joins = batch.length === 0 || isLast || accounts.some((id) => taken.has(id));
      const fits = requests + call.requests.length <= grantsPerCallMax && reports + call.reports.length <= leasesPerSyncMax;
      if (!isFree || !joins || !fits) {
        for (const id of accounts) kept.add(id);
        return true;
      }
      requests += call.requests.length;
      reports += call.reports.length;
      for (const id of accounts) taken.add(id);
      batch.push(each);
      return false;
    });
    return batch;
  }

  async function run(batch: Waiting[]): Promise<void> {
    underWay += 1;
    const accounts = batch.flatMap((each) => each.accounts);
    for (const id of accounts) moving.add(id);
    try {
      await answerAll(batch);
    } finally {
      for (const id of accounts) moving.delete(id);
      underWay -= 1;
      if (waiting.length > 0) startSoon();
    }
  }

  function isRefused({ sinceMs, reject }: Waiting): boolean {
    const isLate = clock.monotonicMs() - sinceMs > waitMsMax;
    if (isLate) reject(new EpithreError("unavailable", "Cannot move leases now: others of the account are moved", { retryAfterS: 1 }));
    return isLate;
  }

  /** What fails for one call's sake, not for the database's, is done again call by call. */
  async function answerAll(batch: Waiting[]): Promise<void> {
    try {
      const calls = batch.map(({ call }) => call);
      const answers =
        (await database.run((sql) => moveInSet(sql, calls, leaseTtlMs))) ??
        (await database.run((sql) => moveLeasesOneByOne(sql, calls, leaseTtlMs)));
      for (const [index, { resolve }] of batch.entries()) resolve(answers[index]!);
    } catch (thrown) {
      if (batch.length === 1 || thrown instanceof EpithreError) for (const { reject } of batch) reject(thrown);
      else for (const each of batch) if (!isRefused(each)) await answerAll([each]);
    }
  }

  return (call) =>
    new Promise((resolve, reject) => {
      waiting.push({ call, accounts: accountsOf(call), sinceMs: clock.monotonicMs(), resolve, reject });
      startSoon();
    });
}

/** A renewal changes no balance. */
function accountsOf({ requests, reports }: LeaseCall): string[] {
  const accounts = requests.map(({ accountId }) => accountId);
  for (const { accountId, close, returnMicro } of reports) if (accountId && (close || returnMicro > 0)) accounts.push(accountId);
  return accounts;
}
