-- policy: none; says in the database itself what each account and each kind of entry of the ledger is
--
-- The same with a worked example: functions/billing/README.md.

comment on type ledger_account is
  'The accounts of the double entry. Each event has two entries that sum to zero: one on customer (credit that we owe the account named beside it; above zero: more of it), one on another account (what stands against it). bank: money that came in for a top_up. refunds: money that went back for a refund. signup_credit_expense: credit that we gave. adjustments: corrections, goodwill, and credit that was forfeited. Example: a top_up of 100,000 rupiah is +100000000000 on customer and -100000000000 on bank.';

comment on type billing_kind is
  'The kinds of billing events that the policy names (keep.billing). top_up: a transfer arrived, amount above zero. refund: credit was paid back, below zero. signup_credit: credit given with a new account, above zero. adjustment: either. A correction is a new event: a top_up that was entered with 10 rupiah too many is followed by an adjustment of -10 rupiah, reason correction. What requests cost is no billing event.';

comment on type billing_reason is
  'Why an event was posted, from a closed list. bank_transfer: for a top_up. signup: for a signup_credit. refund_requested, account_closing: for a refund; account_closing also for the adjustment by which credit is forfeited with consent. service_fault, goodwill, correction: for an adjustment or a refund.';

comment on table billing_events is
  'What changed the credit of an account, beside requests: immutable, kept for 7 years (keep.billing), longer than the account. Posted by post_billing_event() only.';
comment on column billing_events.amount_micro is
  'Micro-rupiah that the event adds to the credit: 1000000 is one rupiah, -1000000 takes one.';
comment on column billing_events.idempotency_key is
  'Chosen by whoever posts the event. The same key with the same event is the same event again (its id is the answer); with another one it is refused (EP409).';

comment on table ledger_entries is
  'Two for each billing event, immutable like it: a deferred trigger refuses a transaction in which they do not sum to zero, or in which the customer''s entry is not the event''s.';
comment on column ledger_entries.account_id is
  'The customer''s account, on entries of customer; null on all others, which are the operator''s.';

comment on table balances is
  'The money of an account in three sums without dates. Balance = credited - consumed - what its open leases have consumed; available, which can be leased or refunded = credited - consumed - leased, never below zero. Example: 100,000 rupiah topped up, 1,500 of it spent, 10,000 in leases that have consumed 300 of it: balance 98,200, available 88,500.';
comment on column balances.credited_micro is
  'The sum of the account''s billing events.';
comment on column balances.consumed_micro is
  'What its requests have cost, as far as their leases have ended; it only grows.';
comment on column balances.leased_micro is
  'The sum of what its leases were granted, expired ones included until they are closed.';

comment on table leases is
  'A slice of an account''s money that one replica of the proxy may spend until expires_at. settle() debits it, so a busy account''s balances row stays alone; what is not consumed comes back when it ends.';

comment on table operator_losses is
  'What requests cost beyond what their account had, by day and model: a lease had ended before the settlement came. No account is named, and none is ever below zero.';

comment on function post_billing_event(uuid, billing_kind, bigint, billing_reason, uuid) is
  'Posts one event once, with its two entries, and answers its id, also when the same key came with the same event before. EP404: no such account. EP409: the key came with another event. EP402: the account has less available than is taken.';
