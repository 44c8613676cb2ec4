/**
 * The money as plain TypeScript, written from design.md and not from the SQL: what an account has, what of it is
 * leased, and what each call must be answered. Slow, in one thread, without a database; amounts are small numbers.
 */

export interface ModelLease {
  id: string;
  accountId: string;
  replicaId: string;
  granted: number;
  consumed: number;
  /** Its time is over; its money comes back with the next look at its account. */
  expired: boolean;
  recall: "none" | "asked" | "answered";
}

interface ModelAccount {
  credited: number;
  /** By leases that have ended, and without a lease. */
  consumed: number;
  hadSignupCredit: boolean;
}

export interface ModelSettlement {
  requestId: string;
  accountId: string;
  leaseId: string;
  cost: number;
  status: number;
}

export type ModelGrant =
  | { outcome: "granted"; granted: number; needsCovered: number; lease: ModelLease }
  | { outcome: "recalling" }
  | { outcome: "insufficient"; available: number };

export interface ModelReport {
  leaseId: string;
  renew: boolean;
  returned: number;
  recallAnswered: boolean;
  close: boolean;
}

const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, each) => total + each, 0);

export function createMoneyModel() {
  const accounts = new Map<string, ModelAccount>();
  const leases = new Map<string, ModelLease>();
  const events = new Map<string, ModelSettlement & { charged: number }>();
  const posted = new Map<string, string>();
  let loss = 0;

  const accountOf = (id: string): ModelAccount => {
    const account = accounts.get(id) ?? { credited: 0, consumed: 0, hadSignupCredit: false };
    accounts.set(id, account);
    return account;
  };
  const leasesOn = (accountId: string) => [...leases.values()].filter((lease) => lease.accountId === accountId);
  const leased = (accountId: string) => sum(leasesOn(accountId).map(({ granted }) => granted));
  const available = (accountId: string) => accountOf(accountId).credited - accountOf(accountId).consumed - leased(accountId);

  function end(lease: ModelLease): void {
    leases.delete(lease.id);
    accountOf(lease.accountId).consumed += lease.consumed;
  }

  function closeExpired(accountId?: string): void {
    for (const lease of [...leases.values()]) {
      if (lease.expired && (accountId === undefined || lease.accountId === accountId)) end(lease);
    }
  }

  /** Answers whether others still owe an answer. */
  function recall(accountId: string, replicaId: string): boolean {
    const others = leasesOn(accountId).filter((lease) => lease.replicaId !== replicaId);
    for (const lease of others) if (lease.recall === "none" && lease.granted > lease.consumed) lease.recall = "asked";
    return others.some((lease) => lease.recall === "asked");
  }

  return {
    /**
     * A billing event; `conflict` when the key came with another event, `second` when it is the account's second signup
     * credit, `short` when it takes more than is available.
     */
    post(accountId: string, kind: string, amount: number, key: string): "posted" | "conflict" | "second" | "short" {
      const payload = `${accountId} ${kind} ${amount}`;
      const before = posted.get(key);
      if (before !== undefined) return before === payload ? "posted" : "conflict";
      if (kind === "signup_credit" && accountOf(accountId).hadSignupCredit) return "second";
      if (available(accountId) + amount < 0) return "short";
      if (kind === "signup_credit") accountOf(accountId).hadSignupCredit = true;
      posted.set(key, payload);
      accountOf(accountId).credited += amount;
      return "posted";
    },

    grant(accountId: string, replicaId: string, leaseId: string | null, needs: number[], want: number, newId: () => string): ModelGrant {
      closeExpired(accountId);
      const free = available(accountId);
      let granted = 0;
      let needsCovered = 0;
      while (needsCovered < needs.length && granted + needs[needsCovered]! <= free) {
        granted += needs[needsCovered]!;
        needsCovered += 1;
      }
      if (needsCovered === 0) return recall(accountId, replicaId) ? { outcome: "recalling" } : { outcome: "insufficient", available: free };
      // A quarter of what is left may go beyond the needs, if that is a whole hold at least.
      const spare = Math.floor((free - granted) / 4);
      if (needsCovered === needs.length && spare >= Math.max(...needs)) granted += Math.min(want, spare);
      let lease = leaseId === null ? undefined : leases.get(leaseId);
      if (!lease || lease.accountId !== accountId || lease.replicaId !== replicaId) {
        lease = { id: newId(), accountId, replicaId, granted: 0, consumed: 0, expired: false, recall: "none" };
        leases.set(lease.id, lease);
      }
      lease.granted += granted;
      return { outcome: "granted", granted, needsCovered, lease };
    },

    /** One report; answers whether the lease is gone. */
    sync(replicaId: string, { leaseId, renew, returned, recallAnswered, close }: ModelReport): boolean {
      const lease = leases.get(leaseId);
      const own = lease && lease.replicaId === replicaId && !lease.expired ? lease : undefined;
      if (own && close) end(own);
      else if (own) {
        own.granted -= Math.min(returned, own.granted - own.consumed);
        if (recallAnswered) own.recall = own.recall === "none" ? "none" : "answered";
        if (renew) own.expired = false;
      }
      return !own || close;
    },

    /** Leases of the replica whose idle money is wanted elsewhere. */
    recalled(replicaId: string): string[] {
      const asked = [...leases.values()].filter((each) => each.replicaId === replicaId && !each.expired && each.recall === "asked");
      return asked.map(({ id }) => id).sort();
    },

    /** A batch at once: each request once, out of its lease, then out of what is available; the rest is the operator's loss. */
    settle(batch: ModelSettlement[]): { outcome: "settled" | "superseded"; charged: number }[] {
      const groups = new Map<string, ModelSettlement[]>();
      for (const given of batch) {
        if (events.has(given.requestId)) continue;
        events.set(given.requestId, { ...given, charged: 0 });
        const group = `${given.leaseId} ${given.accountId}`;
        groups.set(group, [...(groups.get(group) ?? []), given]);
      }
      for (const [, group] of [...groups].sort(([one], [other]) => (one < other ? -1 : 1))) {
        const { leaseId, accountId } = group[0]!;
        const due = sum(group.map(({ cost }) => cost));
        const lease = leases.get(leaseId)?.accountId === accountId ? leases.get(leaseId) : undefined;
        const fromLease = lease ? Math.min(due, lease.granted - lease.consumed) : 0;
        if (lease) lease.consumed += fromLease;
        const fromAccount = Math.min(due - fromLease, available(accountId));
        accountOf(accountId).consumed += fromAccount;
        let left = fromLease + fromAccount;
        for (const { requestId, cost } of group.toSorted((one, other) => (one.requestId < other.requestId ? -1 : 1))) {
          const charged = Math.min(cost, left);
          events.get(requestId)!.charged = charged;
          left -= charged;
          loss += cost - charged;
        }
      }
      return batch.map(({ requestId, accountId, status }) => {
        const event = events.get(requestId)!;
        const same = event.accountId === accountId && event.status === status;
        return { outcome: same ? "settled" : "superseded", charged: event.charged };
      });
    },

    expire(leaseId: string): void {
      const lease = leases.get(leaseId);
      if (lease) lease.expired = true;
    },
    closeExpired,
    lease: (id: string) => leases.get(id),
    /** An account's money as it must lie in the database. */
    money(accountId: string) {
      const { credited, consumed } = accountOf(accountId);
      const inLeases = leasesOn(accountId).map((lease) => lease.consumed);
      return { credited, consumed, leased: leased(accountId), consumedInLeases: sum(inLeases) };
    },
    charges: () => [...events.values()].map(({ requestId, charged, status }) => ({ id: requestId, cost: charged, status })),
    loss: () => loss,
  };
}

export type MoneyModel = ReturnType<typeof createMoneyModel>;
