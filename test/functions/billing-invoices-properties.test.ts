/** Whatever order requests, transfers and cancellings come in, and however many at once: paid once, numbered without a gap. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createDatabasePool } from "#shared/db-pool.ts";
import { sqlState } from "#shared/db.ts";
import { confirmInvoice } from "../../functions/admin/queries.ts";
import { cancelInvoice, openInvoicesMax, requestTopUp, type TopUpOutcome } from "../../functions/billing/queries.ts";
import { createTestDatabase } from "../support/database.ts";
import { newPayer } from "../support/invoices.ts";
import { longFactor, seed } from "../support/money-world.ts";

const sequences = 150 * longFactor;
const signupMicro = 5_000_000n;

const database = await createTestDatabase();
const { sql: owner } = database;
const billing = createDatabasePool({ url: database.urlFor("billing"), log: () => {}, connections: 6 });
const admin = createDatabasePool({ url: database.urlFor("admin"), log: () => {}, connections: 6 });

afterAll(async () => {
  await Promise.all([billing.close(), admin.close()]);
  await database.close();
});

/** `undone`: the request's transaction ends without a commit. `off`: rupiah that the transfer differs from the total by. */
type Step =
  | { do: "request"; account: number; key: number; rupiah: number; undone: boolean }
  | { do: "confirm"; which: number; off: number; withSignup: boolean }
  | { do: "cancel"; which: number };

const which = fc.nat(7);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("request" as const), account: fc.nat(1), key: fc.nat(9), rupiah: fc.constantFrom(1, 49, 50, 100_001), undone: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("confirm" as const), which, off: fc.constantFrom(0, 0, 0, 1, -1), withSignup: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), which }) },
);
/** Steps of one array run at once. */
const sequence = fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { minLength: 2, maxLength: 8 });

interface Made {
  id: string;
  accountId: string;
  key: string;
  rupiah: number;
  total: number;
  events: Set<string>;
  cancelled: boolean;
}

async function createWorld() {
  const accounts = [await newPayer(owner), await newPayer(owner)].map(({ accountId }) => accountId);
  const keys = Array.from({ length: 10 }, () => randomUUID());
  const made = new Map<string, Made>();
  const at = (index: number) => [...made.values()][index % (made.size || 1)];

  async function request({ account, key: keyIndex, rupiah, undone }: Extract<Step, { do: "request" }>): Promise<void> {
    const [accountId, key] = [accounts[account]!, keys[keyIndex]!];
    const asked = { accountId, rupiah, key, ppnBasisPoints: 1_100, dueDays: 14 };
    if (undone) {
      await owner.begin(async (sql) => {
        await requestTopUp(sql as any, asked);
        throw new Error("undone");
      }).catch(() => {});
      return;
    }
    const { outcome, invoiceId }: TopUpOutcome = await billing.run((sql) => requestTopUp(sql, asked));
    if (outcome !== "made") return expect(invoiceId).toBeNull();
    const before = made.get(invoiceId!);
    // The same key is the same invoice: over what it was first asked for.
    if (before) return expect(before).toMatchObject({ accountId, key, rupiah });
    const total = rupiah + Math.round(rupiah * 0.11);
    made.set(invoiceId!, { id: invoiceId!, accountId, key, rupiah, total, events: new Set(), cancelled: false });
  }

  async function confirm({ which: index, off, withSignup }: Extract<Step, { do: "confirm" }>): Promise<void> {
    const invoice = at(index);
    if (!invoice) return;
    const asked = { invoiceId: invoice.id, receivedRupiah: invoice.total + off };
    const answer = await admin.run((sql) => confirmInvoice(sql, asked, withSignup ? signupMicro : null)).catch((thrown) => ({ state: sqlState(thrown) }));
    if (typeof answer === "string") {
      expect(off).toBe(0);
      invoice.events.add(answer);
    } else if (off === 0) expect(answer.state).toBe("EP409");
    else expect(["EP422", "EP409"]).toContain(answer.state);
  }

  async function cancel({ which: index }: Extract<Step, { do: "cancel" }>): Promise<void> {
    const invoice = at(index);
    if (!invoice) return;
    const state = await billing.run((sql) => cancelInvoice(sql, invoice.accountId, invoice.id)).then(() => "cancelled", sqlState);
    if (state === "cancelled") invoice.cancelled = true;
    else expect(state).toBe("EP409");
  }

  function run(given: Step): Promise<void> {
    if (given.do === "request") return request(given);
    return given.do === "confirm" ? confirm(given) : cancel(given);
  }

  async function check(): Promise<void> {
    for (const { id, events, cancelled } of made.values()) {
      const [row] = await owner<{ state: string; event: string | null }[]>`select state, billing_event_id as event from invoices where id = ${id}`;
      expect([...events]).toEqual(row!.state === "paid" ? [row!.event] : []);
      expect(cancelled).toBe(row!.state === "cancelled");
    }
    for (const accountId of accounts) {
      const [row] = await owner<Record<string, bigint>[]>`
        with i as (select * from invoices where account_id = ${accountId}),
        b as (select * from billing_events where account_id = ${accountId}),
        e as (select * from ledger_entries where event_id in (select id from b))
        select
          (select credited_micro from balances where account_id = ${accountId}) as credited,
          (select coalesce(sum(credit_micro), 0) from i where state = 'paid')::bigint as paid,
          (select coalesce(sum(amount_micro), 0) from b where kind = 'signup_credit')::bigint as signup,
          (select count(*) from b where kind = 'signup_credit') as signups,
          (select coalesce(sum(amount_micro), 0) from e where ledger_account = 'ppn_payable')::bigint as ppn,
          (select coalesce(sum(ppn_micro), 0) from i where state = 'paid')::bigint as "paidPpn",
          (select coalesce(sum(amount_micro), 0) from e where ledger_account = 'bank')::bigint as bank,
          (select count(*) from i where state = 'paid') as "paidCount",
          (select count(*) from i where state = 'open') as "openCount",
          (select count(*) from i) as "count",
          (select count(*) from outbox where account_id = ${accountId} and template = 'receipt') as receipts,
          (select count(*) from outbox where account_id = ${accountId} and template = 'invoice') as "invoiceMails",
          (select count(*) from audit_log where action = 'invoice_confirmed' and object_id in (select id from i)) as audited
      `;
      const { credited, paid, signup, signups, ppn, paidPpn, bank, paidCount, openCount, count, receipts, invoiceMails, audited } = row!;
      expect(credited).toBe(paid! + signup!);
      expect(ppn).toBe(paidPpn);
      expect(bank).toBe(-paid! - paidPpn!);
      expect([receipts, audited, invoiceMails]).toEqual([paidCount, paidCount, openCount]);
      expect(signups! <= 1n).toBe(true);
      expect(openCount! <= BigInt(openInvoicesMax)).toBe(true);
      expect(Number(count)).toBe([...made.values()].filter((each) => each.accountId === accountId).length);
    }
    const [gaps] = await owner<{ last: number; count: number; ordered: boolean }[]>`
      select max(number)::int as last, count(*)::int as count, coalesce(bool_and(issued_at > before), true) as ordered
      from (select number, issued_at, lag(issued_at, 1, '-infinity') over (order by number) as before from invoices) as i
    `;
    expect(gaps!.count).toBe(gaps!.last ?? 0);
    expect(gaps!.ordered).toBe(true);
  }

  return { run, check };
}

test(`invoices keep to their rules over ${sequences} sequences (seed ${seed})`, async () => {
  console.info(`sequences of invoices: EPITHRE_SEED=${seed}`);
  await fc.assert(
    fc.asyncProperty(sequence, async (steps) => {
      const world = await createWorld();
      for (const together of steps) await Promise.all(together.map((each) => world.run(each)));
      await world.check();
    }),
    { numRuns: sequences, seed, endOnFailure: true },
  );
}, 180_000 * longFactor);
