-- Written by `npm run schema` from the catalogue of a migrated database; reviewed, never run.
-- test/infra/schema.test.ts compares it with what the migrations make.

create type abuse_signal as enum ('errors', 'left', 'rate_limit');
create type account_status as enum ('active', 'suspended', 'closed');
create type account_token_purpose as enum ('verify_email', 'reset_password', 'change_email', 'cancel_deletion');
create type attested_promise as enum ('place.jakarta', 'pay.alpha', 'right.*');
create type audit_action as enum ('account_created', 'account_suspended', 'account_reinstated', 'account_closed', 'key_created', 'key_revoked', 'billing_event_posted', 'model_created', 'model_enabled', 'model_disabled', 'price_created', 'purge_gap_confirmed', 'key_limits_changed', 'retirement_announced', 'retirement_withdrawn', 'invoice_confirmed', 'key_rotated', 'operator_created', 'operator_invited', 'operator_enrolled', 'operator_signed_in', 'operator_signed_out', 'operator_session_opened', 'operator_disabled', 'account_searched', 'account_viewed', 'abuse_viewed', 'audit_viewed', 'audit_exported', 'purge_run_finished', 'purge_run_refused', 'throttle_lifted', 'promise_attested', 'attestation_withdrawn');
create type audit_actor as enum ('operator', 'system', 'account');
create type billing_kind as enum ('top_up', 'refund', 'signup_credit', 'adjustment');
create type billing_reason as enum ('bank_transfer', 'signup', 'refund_requested', 'account_closing', 'service_fault', 'goodwill', 'correction');
create type claim_outcome as enum ('claimed', 'free', 'completed', 'in_progress', 'too_many');
create type erasure_outcome as enum ('none', 'more', 'erased');
create type image_quality as enum ('low', 'medium', 'high', 'standard', 'hd');
create type invoice_state as enum ('open', 'paid', 'cancelled');
create type lease_change as (lease_id uuid, is_new boolean, replica_id uuid, account_id uuid, granted_micro bigint, largest_micro bigint, renew boolean, returned_micro bigint, recall_answered boolean, closing boolean);
create type lease_request as (replica_id uuid, account_id uuid, key_id uuid, lease_id uuid, needs bigint[], want_micro bigint);
create type ledger_account as enum ('customer', 'bank', 'signup_credit_expense', 'refunds', 'adjustments', 'ppn_payable');
create type mail_template as enum ('welcome', 'model_retirement', 'invoice', 'receipt', 'low_balance', 'statement', 'verify_email', 'already_registered', 'reset_password', 'password_changed', 'change_email', 'email_change_asked', 'account_deleted', 'export_ready');
create type model_kind as enum ('chat', 'embedding', 'image');
create type purge_state as enum ('running', 'finished', 'interrupted', 'refused');
create type purge_step as enum ('slices_ahead', 'leases', 'usage_events', 'api_keys', 'audit_log', 'outbox', 'billing_events', 'purge_runs', 'accounts', 'persons', 'key_use', 'daily_books', 'idempotency_claims', 'invoices', 'account_tokens', 'unverified_accounts', 'usage_exports', 'operators', 'operator_sessions', 'operator_invites', 'throttles', 'rewrites');
create type rate_unit as enum ('requests', 'tokens', 'throttle');
create type settle_outcome as enum ('settled', 'superseded', 'refused');
create type settlement as (request_id uuid, account_id uuid, key_id uuid, lease_id uuid, model text, endpoint usage_endpoint, price_version integer, prompt_tokens integer, cached_tokens integer, completion_tokens integer, reasoning_tokens integer, images integer, cost_micro bigint, latency_ms integer, status smallint);
create type suspension_reason as enum ('operator_decision', 'abuse', 'security', 'unpaid', 'legal');
create type top_up_outcome as enum ('made', 'other_amount', 'too_many_open', 'too_many_today');
create type usage_endpoint as enum ('chat.completions', 'completions', 'embeddings', 'images.generations', 'images.edits', 'images.variations');
create type usage_export_state as enum ('queued', 'building', 'ready', 'failed');

create table account_tokens (
  hash bytea not null /* statistics 0 */,
  account_id uuid not null /* statistics 0 */,
  purpose account_token_purpose not null,
  expires_at timestamp with time zone not null
);
alter table account_tokens add constraint account_tokens_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table account_tokens add constraint account_tokens_hash_length CHECK ((octet_length(hash) = 32));
alter table account_tokens add constraint account_tokens_pkey PRIMARY KEY (hash);
create index account_tokens_account ON account_tokens USING btree (account_id);
create index account_tokens_expires ON account_tokens USING btree (expires_at);

create table accounts (
  id uuid not null default uuidv7() /* statistics 0 */,
  status account_status not null default 'active'::account_status,
  closed_at timestamp with time zone,
  audit_alias uuid not null default gen_random_uuid() /* statistics 0 */,
  changed_xid xid8 not null,
  sessions_from timestamp with time zone,
  reopens_as account_status
);
CREATE TRIGGER accounts_forget_audit_subject AFTER DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION forget_audit_subject();
CREATE TRIGGER accounts_note_change BEFORE INSERT OR UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER accounts_note_rewrites AFTER DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION note_erased_account();
CREATE TRIGGER accounts_refuse_untold_deletion BEFORE DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION refuse_untold_account_deletion();
alter table accounts add constraint accounts_audit_alias_key UNIQUE (audit_alias);
alter table accounts add constraint accounts_closed_has_time CHECK (((status = 'closed'::account_status) = (closed_at IS NOT NULL)));
alter table accounts add constraint accounts_pkey PRIMARY KEY (id);
alter table accounts add constraint accounts_reopens_when_closed CHECK (((reopens_as IS NULL) OR ((status = 'closed'::account_status) AND (reopens_as <> 'closed'::account_status))));
create index accounts_changed ON accounts USING btree (changed_xid);
create index accounts_closed ON accounts USING btree (closed_at) WHERE (status = 'closed'::account_status);

create table api_keys (
  id uuid not null default uuidv7() /* statistics 0 */,
  account_id uuid not null /* statistics 0 */,
  hash bytea not null /* statistics 0 */,
  prefix text not null /* statistics 0 */,
  name text not null /* statistics 0 */,
  scopes text[] not null /* statistics 0 */,
  models text[] /* statistics 0 */,
  expires_at timestamp with time zone,
  requests_per_minute integer,
  tokens_per_minute integer,
  revoked_at timestamp with time zone,
  changed_xid xid8 not null,
  monthly_budget_micro bigint
);
CREATE TRIGGER api_keys_models_known BEFORE INSERT OR UPDATE OF models ON api_keys FOR EACH ROW WHEN ((new.models IS NOT NULL)) EXECUTE FUNCTION refuse_unknown_models();
CREATE TRIGGER api_keys_note_change BEFORE INSERT OR UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER api_keys_note_rewrite AFTER UPDATE OF name ON api_keys FOR EACH ROW WHEN ((new.name IS DISTINCT FROM old.name)) EXECUTE FUNCTION note_changed_file();
CREATE TRIGGER api_keys_refuse_untold_deletion BEFORE DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION refuse_untold_key_deletion();
alter table api_keys add constraint api_keys_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id);
alter table api_keys add constraint api_keys_hash_key UNIQUE (hash);
alter table api_keys add constraint api_keys_hash_length CHECK ((octet_length(hash) = 32));
alter table api_keys add constraint api_keys_monthly_budget_micro_check CHECK ((monthly_budget_micro >= 0));
alter table api_keys add constraint api_keys_name_length CHECK ((length(name) <= 64));
alter table api_keys add constraint api_keys_pkey PRIMARY KEY (id);
alter table api_keys add constraint api_keys_prefix_form CHECK ((prefix ~ '^ep_[0-9A-Za-z]{9}$'::text));
alter table api_keys add constraint api_keys_requests_per_minute_check CHECK ((requests_per_minute > 0));
alter table api_keys add constraint api_keys_scopes_known CHECK (((cardinality(scopes) > 0) AND (scopes <@ ARRAY['chat'::text, 'embeddings'::text, 'images'::text, 'models'::text, 'usage'::text, 'billing'::text])));
alter table api_keys add constraint api_keys_tokens_per_minute_check CHECK ((tokens_per_minute > 0));
create index api_keys_account ON api_keys USING btree (account_id);
create index api_keys_changed ON api_keys USING btree (changed_xid);
create index api_keys_revoked ON api_keys USING btree (revoked_at) WHERE (revoked_at IS NOT NULL);

create table attestations (
  id uuid not null default uuidv7() /* statistics 0 */,
  promise attested_promise not null,
  sentence_digest bytea not null /* statistics 0 */,
  stated_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null
);
alter table attestations add constraint attestations_digest_length CHECK ((octet_length(sentence_digest) = 32));
alter table attestations add constraint attestations_expire CHECK ((expires_at >= stated_at));
alter table attestations add constraint attestations_pkey PRIMARY KEY (id);
create index attestations_promise ON attestations USING btree (promise, stated_at);

create table audit_clock (
  id boolean not null default true,
  read_until timestamp with time zone not null
);
alter table audit_clock add constraint audit_clock_one CHECK (id);
alter table audit_clock add constraint audit_clock_pkey PRIMARY KEY (id);

create table audit_days (
  day date not null,
  rows integer not null,
  head bytea not null /* statistics 0 */,
  sealed_until timestamp with time zone not null,
  statement text not null /* statistics 0 */
);
alter table audit_days add constraint audit_days_head_length CHECK ((octet_length(head) = 32));
alter table audit_days add constraint audit_days_pkey PRIMARY KEY (day);
alter table audit_days add constraint audit_days_rows_counted CHECK ((rows >= 0));
alter table audit_days add constraint audit_days_sealed_within CHECK (((sealed_until > ((day)::timestamp without time zone AT TIME ZONE 'UTC'::text)) AND (sealed_until <= (((day + 1))::timestamp without time zone AT TIME ZONE 'UTC'::text))));
alter table audit_days add constraint audit_days_statement_length CHECK ((length(statement) <= 1024));

create table audit_log (
  id bigint not null generated always as identity,
  at timestamp with time zone not null default audit_time(),
  actor audit_actor not null,
  action audit_action not null,
  subject_alias uuid /* statistics 0 */,
  object_id uuid /* statistics 0 */,
  reason suspension_reason,
  operator_id uuid /* statistics 0 */,
  subject_salt uuid /* statistics 0 */,
  subject_commitment bytea /* statistics 0 */
);
CREATE TRIGGER audit_log_complete BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION complete_audit_row();
CREATE TRIGGER audit_log_immutable BEFORE UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_refuse_young_deletion BEFORE DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_young_audit_deletion();
alter table audit_log add constraint audit_log_commitment_length CHECK ((octet_length(subject_commitment) = 32));
alter table audit_log add constraint audit_log_operator_named CHECK (((actor = 'operator'::audit_actor) = (operator_id IS NOT NULL)));
alter table audit_log add constraint audit_log_pkey PRIMARY KEY (id);
alter table audit_log add constraint audit_log_subject_salted CHECK ((((subject_alias IS NULL) = (subject_salt IS NULL)) AND ((subject_alias IS NULL) OR (subject_commitment IS NOT NULL))));
create index audit_log_at ON audit_log USING btree (at);
create index audit_log_object ON audit_log USING btree (object_id) WHERE (object_id IS NOT NULL);
create index audit_log_subject ON audit_log USING btree (subject_alias, id);

create table balance_alerts (
  account_id uuid not null /* statistics 0 */,
  threshold_micro bigint not null,
  armed boolean not null default true
);
alter table balance_alerts add constraint balance_alerts_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table balance_alerts add constraint balance_alerts_pkey PRIMARY KEY (account_id);
alter table balance_alerts add constraint balance_alerts_threshold CHECK ((threshold_micro > 0));
create index balance_alerts_armed ON balance_alerts USING btree (account_id) WHERE armed;

create table balances (
  account_id uuid not null /* statistics 0 */,
  credited_micro bigint not null default 0,
  consumed_micro bigint not null default 0,
  leased_micro bigint not null default 0
) with (fillfactor=50);
CREATE TRIGGER balances_arm_alert AFTER UPDATE OF credited_micro ON balances FOR EACH ROW EXECUTE FUNCTION arm_balance_alert();
CREATE TRIGGER balances_leased BEFORE DELETE ON balances FOR EACH ROW EXECUTE FUNCTION refuse_leased_balance_deletion();
alter table balances add constraint balances_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id);
alter table balances add constraint balances_available CHECK ((((credited_micro - consumed_micro) - leased_micro) >= 0));
alter table balances add constraint balances_consumed CHECK ((consumed_micro >= 0));
alter table balances add constraint balances_credited CHECK ((credited_micro >= 0));
alter table balances add constraint balances_leased CHECK ((leased_micro >= 0));
alter table balances add constraint balances_pkey PRIMARY KEY (account_id);

create table billing_events (
  id uuid not null default uuidv7() /* statistics 0 */,
  account_id uuid not null /* statistics 0 */,
  kind billing_kind not null,
  amount_micro bigint not null,
  reason billing_reason not null,
  idempotency_key uuid not null /* statistics 0 */,
  created_at timestamp with time zone not null default now()
);
CREATE CONSTRAINT TRIGGER billing_events_balanced AFTER INSERT ON billing_events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_event_balanced();
CREATE TRIGGER billing_events_immutable BEFORE UPDATE ON billing_events FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER billing_events_no_truncate BEFORE TRUNCATE ON billing_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER billing_events_refuse_young_deletion BEFORE DELETE ON billing_events FOR EACH ROW EXECUTE FUNCTION refuse_young_deletion();
alter table billing_events add constraint billing_events_idempotency_key_key UNIQUE (idempotency_key);
alter table billing_events add constraint billing_events_pkey PRIMARY KEY (id);
alter table billing_events add constraint billing_events_sign CHECK (
CASE kind
    WHEN 'refund'::billing_kind THEN (amount_micro < 0)
    WHEN 'adjustment'::billing_kind THEN (amount_micro <> 0)
    ELSE (amount_micro > 0)
END);
create index billing_events_account ON billing_events USING btree (account_id, id);
create index billing_events_created ON billing_events USING btree (created_at);
create uniquE INDEX billing_events_one_signup_credit ON billing_events USING btree (account_id) WHERE (kind = 'signup_credit'::billing_kind);

create table canary_scans (
  id uuid not null default uuidv7() /* statistics 0 */,
  scanned_at timestamp with time zone not null default now(),
  bytes_searched bigint not null,
  stores_searched integer not null,
  stores_not_searched integer not null,
  hits integer not null,
  controls_found integer not null
);
alter table canary_scans add constraint canary_scans_bytes_counted CHECK ((bytes_searched >= 0));
alter table canary_scans add constraint canary_scans_controls_counted CHECK (((controls_found >= 0) AND (controls_found <= stores_searched)));
alter table canary_scans add constraint canary_scans_hits_counted CHECK ((hits >= 0));
alter table canary_scans add constraint canary_scans_not_searched_counted CHECK ((stores_not_searched >= 0));
alter table canary_scans add constraint canary_scans_pkey PRIMARY KEY (id);
alter table canary_scans add constraint canary_scans_searched_counted CHECK ((stores_searched >= 0));
create index canary_scans_scanned ON canary_scans USING btree (scanned_at);

create table daily_books (
  day date not null,
  model_id smallint not null,
  requests bigint not null,
  prompt_tokens bigint not null,
  cached_tokens bigint not null,
  completion_tokens bigint not null,
  reasoning_tokens bigint not null,
  images bigint not null,
  cost_micro bigint not null
);
alter table daily_books add constraint daily_books_cached_tokens_check CHECK ((cached_tokens >= 0));
alter table daily_books add constraint daily_books_completion_tokens_check CHECK ((completion_tokens >= 0));
alter table daily_books add constraint daily_books_cost_micro_check CHECK ((cost_micro >= 0));
alter table daily_books add constraint daily_books_images_check CHECK ((images >= 0));
alter table daily_books add constraint daily_books_model_id_fkey FOREIGN KEY (model_id) REFERENCES models(id);
alter table daily_books add constraint daily_books_pkey PRIMARY KEY (day, model_id);
alter table daily_books add constraint daily_books_prompt_tokens_check CHECK ((prompt_tokens >= 0));
alter table daily_books add constraint daily_books_reasoning_tokens_check CHECK ((reasoning_tokens >= 0));
alter table daily_books add constraint daily_books_requests_check CHECK ((requests >= 0));

create table engine_counters (
  backend uuid not null /* statistics 0 */,
  model_id smallint not null,
  read_at timestamp with time zone not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null
);
alter table engine_counters add constraint engine_counters_completion_tokens_check CHECK ((completion_tokens >= 0));
alter table engine_counters add constraint engine_counters_model_id_fkey FOREIGN KEY (model_id) REFERENCES models(id);
alter table engine_counters add constraint engine_counters_pkey PRIMARY KEY (backend, model_id);
alter table engine_counters add constraint engine_counters_prompt_tokens_check CHECK ((prompt_tokens >= 0));

create table idempotency_claims (
  account_id uuid not null /* statistics 0 */,
  digest bytea not null /* statistics 0 */,
  request_id uuid not null /* statistics 0 */,
  key_id uuid not null /* statistics 0 */,
  lease_id uuid not null /* statistics 0 */,
  model_id smallint not null,
  endpoint usage_endpoint not null,
  price_version integer not null,
  claimed_at timestamp with time zone not null,
  runs_until timestamp with time zone not null
);
alter table idempotency_claims add constraint idempotency_claims_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table idempotency_claims add constraint idempotency_claims_digest_is_sha256 CHECK ((octet_length(digest) = 32));
alter table idempotency_claims add constraint idempotency_claims_pkey PRIMARY KEY (account_id, digest);
create index idempotency_claims_account ON idempotency_claims USING btree (account_id, claimed_at);
create index idempotency_claims_claimed ON idempotency_claims USING btree (claimed_at);

create table invoice_numbers (
  year smallint not null,
  last integer not null
);
alter table invoice_numbers add constraint invoice_numbers_pkey PRIMARY KEY (year);

create table invoices (
  id uuid not null default uuidv7() /* statistics 0 */,
  account_id uuid not null /* statistics 0 */,
  year smallint not null,
  number integer not null,
  credit_micro bigint not null,
  ppn_basis_points integer not null,
  ppn_micro bigint not null,
  issued_at timestamp with time zone not null,
  due_at timestamp with time zone not null,
  state invoice_state not null default 'open'::invoice_state,
  paid_at timestamp with time zone,
  billing_event_id uuid /* statistics 0 */,
  idempotency_key uuid not null /* statistics 0 */
);
CREATE TRIGGER invoices_guarded BEFORE DELETE OR UPDATE ON invoices FOR EACH ROW EXECUTE FUNCTION guard_invoice();
CREATE TRIGGER invoices_no_truncate BEFORE TRUNCATE ON invoices FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
alter table invoices add constraint invoices_account_id_idempotency_key_key UNIQUE (account_id, idempotency_key);
alter table invoices add constraint invoices_billing_event_id_fkey FOREIGN KEY (billing_event_id) REFERENCES billing_events(id) ON DELETE CASCADE;
alter table invoices add constraint invoices_billing_event_id_key UNIQUE (billing_event_id);
alter table invoices add constraint invoices_credit_whole CHECK (((credit_micro > 0) AND ((credit_micro % (1000000)::bigint) = 0)));
alter table invoices add constraint invoices_due_later CHECK ((due_at >= issued_at));
alter table invoices add constraint invoices_number_positive CHECK ((number > 0));
alter table invoices add constraint invoices_paid_by_event CHECK ((((state = 'paid'::invoice_state) = (billing_event_id IS NOT NULL)) AND ((state = 'paid'::invoice_state) = (paid_at IS NOT NULL))));
alter table invoices add constraint invoices_pkey PRIMARY KEY (id);
alter table invoices add constraint invoices_ppn_rate CHECK (((ppn_basis_points >= 0) AND (ppn_basis_points <= 10000)));
alter table invoices add constraint invoices_ppn_whole CHECK (((ppn_micro >= 0) AND ((ppn_micro % (1000000)::bigint) = 0)));
alter table invoices add constraint invoices_year_number_key UNIQUE (year, number);
alter table invoices add constraint invoices_year_of_issue CHECK ((year = invoice_year(issued_at)));
create index invoices_account ON invoices USING btree (account_id, id);
create index invoices_unpaid ON invoices USING btree (due_at) WHERE (state <> 'paid'::invoice_state);

create table key_budgets (
  key_id uuid not null /* statistics 0 */,
  month date not null,
  spent_micro bigint not null
) with (fillfactor=50);
alter table key_budgets add constraint key_budgets_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys(id) ON DELETE CASCADE;
alter table key_budgets add constraint key_budgets_pkey PRIMARY KEY (key_id);

create unlogged table key_rates (
  key_id uuid not null /* statistics 0 */,
  unit rate_unit not null,
  second bigint not null,
  counts bigint[] not null
) with (fillfactor=50);
alter table key_rates add constraint key_rates_a_minute CHECK ((cardinality(counts) = 61));
alter table key_rates add constraint key_rates_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys(id) ON DELETE CASCADE;
alter table key_rates add constraint key_rates_pkey PRIMARY KEY (key_id, unit);

create table leases (
  id uuid not null default uuidv7() /* statistics 0 */,
  account_id uuid not null /* statistics 0 */,
  replica_id uuid not null /* statistics 0 */,
  granted_micro bigint not null,
  consumed_micro bigint not null default 0,
  expires_at timestamp with time zone not null,
  recall_requested_at timestamp with time zone,
  recall_answered_at timestamp with time zone,
  key_id uuid /* statistics 0 */
) with (fillfactor=50, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000);
CREATE TRIGGER leases_count_ended AFTER DELETE ON leases FOR EACH ROW WHEN ((old.key_id IS NOT NULL)) EXECUTE FUNCTION count_ended_lease();
alter table leases add constraint leases_never_overspent CHECK (((consumed_micro >= 0) AND (consumed_micro <= granted_micro)));
alter table leases add constraint leases_pkey PRIMARY KEY (id);
create index leases_account ON leases USING btree (account_id);
create index leases_key ON leases USING btree (key_id) WHERE (key_id IS NOT NULL);
create index leases_recalled ON leases USING btree (replica_id) WHERE ((recall_requested_at IS NOT NULL) AND (recall_answered_at IS NULL));

create table ledger_entries (
  event_id uuid not null /* statistics 0 */,
  ledger_account ledger_account not null,
  account_id uuid /* statistics 0 */,
  amount_micro bigint not null
);
CREATE CONSTRAINT TRIGGER ledger_entries_balanced AFTER INSERT OR DELETE OR UPDATE ON ledger_entries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_event_balanced();
CREATE TRIGGER ledger_entries_immutable BEFORE UPDATE ON ledger_entries FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_entries_no_truncate BEFORE TRUNCATE ON ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_entries_refuse_deletion BEFORE DELETE ON ledger_entries FOR EACH ROW EXECUTE FUNCTION refuse_young_deletion();
alter table ledger_entries add constraint ledger_entries_customer_named CHECK (((ledger_account = 'customer'::ledger_account) = (account_id IS NOT NULL)));
alter table ledger_entries add constraint ledger_entries_event_id_fkey FOREIGN KEY (event_id) REFERENCES billing_events(id) ON DELETE CASCADE;
alter table ledger_entries add constraint ledger_entries_pkey PRIMARY KEY (event_id, ledger_account);

create table migrations (
  name text not null /* statistics 0 */,
  digest text not null /* statistics 0 */,
  applied_at timestamp with time zone not null default now()
);
alter table migrations add constraint migrations_pkey PRIMARY KEY (name);

create table models (
  id smallint not null generated always as identity,
  name text not null /* statistics 0 */,
  kind model_kind not null,
  context_tokens integer not null,
  output_tokens_max integer not null,
  template_tokens integer not null,
  image_tokens_max integer not null,
  enabled boolean not null default true,
  created_at timestamp with time zone not null default now(),
  retirement_announced_at timestamp with time zone,
  retires_at timestamp with time zone
);
alter table models add constraint models_context_tokens_check CHECK ((context_tokens > 0));
alter table models add constraint models_image_tokens_max_check CHECK ((image_tokens_max >= 0));
alter table models add constraint models_name_form CHECK ((name ~ '^[0-9A-Za-z][0-9A-Za-z._:/-]{0,127}$'::text));
alter table models add constraint models_name_key UNIQUE (name);
alter table models add constraint models_output_tokens_max_check CHECK ((output_tokens_max >= 0));
alter table models add constraint models_pkey PRIMARY KEY (id);
alter table models add constraint models_retirement_ahead CHECK ((retires_at > retirement_announced_at));
alter table models add constraint models_retirement_whole CHECK (((retirement_announced_at IS NULL) = (retires_at IS NULL)));
alter table models add constraint models_template_tokens_check CHECK ((template_tokens >= 0));

create table operator_challenges (
  digest bytea not null /* statistics 0 */,
  expires_at timestamp with time zone not null
);
alter table operator_challenges add constraint operator_challenges_digest_length CHECK ((octet_length(digest) = 32));
alter table operator_challenges add constraint operator_challenges_pkey PRIMARY KEY (digest);

create table operator_credentials (
  id bytea not null /* statistics 0 */,
  operator_id uuid not null /* statistics 0 */,
  public_key bytea not null /* statistics 0 */,
  uses bigint not null,
  created_at timestamp with time zone not null default now()
);
alter table operator_credentials add constraint operator_credentials_id_length CHECK (((octet_length(id) >= 1) AND (octet_length(id) <= 1023)));
alter table operator_credentials add constraint operator_credentials_key_length CHECK (((octet_length(public_key) >= 16) AND (octet_length(public_key) <= 1024)));
alter table operator_credentials add constraint operator_credentials_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES operators(id) ON DELETE CASCADE;
alter table operator_credentials add constraint operator_credentials_pkey PRIMARY KEY (id);
alter table operator_credentials add constraint operator_credentials_uses_counted CHECK ((uses >= 0));
create index operator_credentials_operator ON operator_credentials USING btree (operator_id);

create table operator_invites (
  digest bytea not null /* statistics 0 */,
  operator_id uuid not null /* statistics 0 */,
  replaces boolean not null,
  expires_at timestamp with time zone not null
);
alter table operator_invites add constraint operator_invites_digest_length CHECK ((octet_length(digest) = 32));
alter table operator_invites add constraint operator_invites_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES operators(id) ON DELETE CASCADE;
alter table operator_invites add constraint operator_invites_pkey PRIMARY KEY (digest);
create index operator_invites_operator ON operator_invites USING btree (operator_id);

create table operator_losses (
  day date not null,
  model_id smallint not null,
  requests bigint not null,
  loss_micro bigint not null
);
alter table operator_losses add constraint operator_losses_loss_micro_check CHECK ((loss_micro >= 0));
alter table operator_losses add constraint operator_losses_model_id_fkey FOREIGN KEY (model_id) REFERENCES models(id);
alter table operator_losses add constraint operator_losses_pkey PRIMARY KEY (day, model_id);

create table operator_sessions (
  digest bytea not null /* statistics 0 */,
  operator_id uuid not null /* statistics 0 */,
  expires_at timestamp with time zone not null
);
alter table operator_sessions add constraint operator_sessions_digest_length CHECK ((octet_length(digest) = 32));
alter table operator_sessions add constraint operator_sessions_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES operators(id) ON DELETE CASCADE;
alter table operator_sessions add constraint operator_sessions_pkey PRIMARY KEY (digest);
create index operator_sessions_operator ON operator_sessions USING btree (operator_id);

create table operators (
  id uuid not null default gen_random_uuid() /* statistics 0 */,
  name text not null /* statistics 0 */,
  created_at timestamp with time zone not null default now(),
  disabled_at timestamp with time zone
);
alter table operators add constraint operators_name_form CHECK ((name ~ '^[a-z][a-z0-9._-]{0,31}$'::text));
alter table operators add constraint operators_name_key UNIQUE (name);
alter table operators add constraint operators_pkey PRIMARY KEY (id);

create table outbox (
  id uuid not null default uuidv7() /* statistics 0 */,
  account_id uuid not null /* statistics 0 */,
  template mail_template not null,
  created_at timestamp with time zone not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamp with time zone not null default now(),
  object_id uuid /* statistics 0 */,
  month date,
  model_id smallint
);
alter table outbox add constraint outbox_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table outbox add constraint outbox_attempts_check CHECK ((attempts >= 0));
alter table outbox add constraint outbox_model_id_fkey FOREIGN KEY (model_id) REFERENCES models(id);
alter table outbox add constraint outbox_month_begins CHECK ((EXTRACT(day FROM month) = (1)::numeric));
alter table outbox add constraint outbox_one_parameter CHECK ((num_nonnulls(object_id, month, model_id) <= 1));
alter table outbox add constraint outbox_pkey PRIMARY KEY (id);
create index outbox_account ON outbox USING btree (account_id);
create index outbox_due ON outbox USING btree (next_attempt_at);

create table persons (
  account_id uuid not null /* statistics 0 */,
  email text not null /* statistics 0 */,
  name text /* statistics 0 */,
  password_hash text /* statistics 0 */,
  email_verified_at timestamp with time zone,
  new_email text /* statistics 0 */,
  new_email_at timestamp with time zone
) partition by hash (account_id);
CREATE TRIGGER persons_note_rewrite AFTER DELETE OR UPDATE ON persons FOR EACH ROW EXECUTE FUNCTION note_changed_file();
alter table persons add constraint persons_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id);
alter table persons add constraint persons_email_length CHECK (((length(email) >= 3) AND (length(email) <= 254)));
alter table persons add constraint persons_name_length CHECK ((length(name) <= 128));
alter table persons add constraint persons_new_email_has_time CHECK (((new_email IS NULL) = (new_email_at IS NULL)));
alter table persons add constraint persons_new_email_length CHECK (((length(new_email) >= 3) AND (length(new_email) <= 254)));
alter table persons add constraint persons_password_hash_form CHECK ((password_hash ~ '^\$argon2id\$v=19\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]{22,86}\$[A-Za-z0-9+/]{43,86}$'::text));
alter table persons add constraint persons_password_hash_length CHECK ((length(password_hash) <= 256));
alter table persons add constraint persons_pkey PRIMARY KEY (account_id);
create index persons_new_email_at ON ONLY public.persons USING btree (new_email_at) WHERE (new_email IS NOT NULL);
create index persons_unverified ON ONLY public.persons USING btree (account_id) WHERE ((email_verified_at IS NULL) AND (password_hash IS NOT NULL));

create table prices (
  version integer not null generated always as identity,
  model_id smallint not null,
  effective_at timestamp with time zone not null,
  input_micro bigint not null,
  cached_input_micro bigint not null,
  output_micro bigint not null,
  image_micro bigint not null,
  line_of integer,
  size text /* statistics 0 */,
  quality image_quality
);
CREATE TRIGGER prices_immutable BEFORE DELETE OR UPDATE ON prices FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER prices_no_truncate BEFORE TRUNCATE ON prices FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
alter table prices add constraint prices_cached_input_micro_check CHECK ((cached_input_micro >= 0));
alter table prices add constraint prices_image_micro_check CHECK ((image_micro >= 0));
alter table prices add constraint prices_input_micro_check CHECK ((input_micro >= 0));
alter table prices add constraint prices_line_names_something CHECK (((line_of IS NULL) = ((size IS NULL) AND (quality IS NULL))));
alter table prices add constraint prices_line_of_fkey FOREIGN KEY (line_of) REFERENCES prices(version);
alter table prices add constraint prices_model_id_fkey FOREIGN KEY (model_id) REFERENCES models(id);
alter table prices add constraint prices_output_micro_check CHECK ((output_micro >= 0));
alter table prices add constraint prices_pkey PRIMARY KEY (version);
alter table prices add constraint prices_size_form CHECK ((size ~ '^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$'::text));
create index prices_in_force ON prices USING btree (model_id, effective_at DESC, version DESC);
create uniquE INDEX prices_lines ON prices USING btree (line_of, size, quality) NULLS NOT DISTINCT WHERE (line_of IS NOT NULL);

create table purge_runs (
  id uuid not null default uuidv7() /* statistics 0 */,
  state purge_state not null,
  early_days integer not null,
  started_at timestamp with time zone not null default now(),
  finished_at timestamp with time zone,
  steps_left integer,
  confirmed_at timestamp with time zone,
  confirmed_by text /* statistics 0 */
);
CREATE TRIGGER purge_runs_audit AFTER INSERT OR UPDATE OF state ON purge_runs FOR EACH ROW EXECUTE FUNCTION audit_purge_run();
alter table purge_runs add constraint purge_runs_confirmed_by_known CHECK ((confirmed_by = ANY (ARRAY['operator'::text, 'system'::text])));
alter table purge_runs add constraint purge_runs_confirmed_by_someone CHECK (((confirmed_at IS NULL) = (confirmed_by IS NULL)));
alter table purge_runs add constraint purge_runs_early_days_check CHECK (((early_days >= 0) AND (early_days <= 30)));
alter table purge_runs add constraint purge_runs_pkey PRIMARY KEY (id);
alter table purge_runs add constraint purge_runs_steps_left_check CHECK ((steps_left >= 0));
create index purge_runs_started ON purge_runs USING btree (started_at);

create table purge_steps (
  run_id uuid not null /* statistics 0 */,
  step purge_step not null,
  live_days integer,
  done bigint not null
);
alter table purge_steps add constraint purge_steps_done_check CHECK ((done >= 0));
alter table purge_steps add constraint purge_steps_pkey PRIMARY KEY (run_id, step);
alter table purge_steps add constraint purge_steps_run_id_fkey FOREIGN KEY (run_id) REFERENCES purge_runs(id) ON DELETE CASCADE;

create table reconciliations (
  read_at timestamp with time zone not null,
  model_id smallint not null,
  since timestamp with time zone not null,
  engines_missing smallint not null,
  engine_prompt_tokens bigint not null,
  engine_completion_tokens bigint not null,
  ledger_prompt_tokens bigint,
  ledger_completion_tokens bigint
);
alter table reconciliations add constraint reconciliations_check CHECK ((since < read_at));
alter table reconciliations add constraint reconciliations_check1 CHECK (((ledger_prompt_tokens IS NULL) = (ledger_completion_tokens IS NULL)));
alter table reconciliations add constraint reconciliations_engine_completion_tokens_check CHECK ((engine_completion_tokens >= 0));
alter table reconciliations add constraint reconciliations_engine_prompt_tokens_check CHECK ((engine_prompt_tokens >= 0));
alter table reconciliations add constraint reconciliations_ledger_completion_tokens_check CHECK ((ledger_completion_tokens >= 0));
alter table reconciliations add constraint reconciliations_ledger_prompt_tokens_check CHECK ((ledger_prompt_tokens >= 0));
alter table reconciliations add constraint reconciliations_model_id_fkey FOREIGN KEY (model_id) REFERENCES models(id);
alter table reconciliations add constraint reconciliations_pkey PRIMARY KEY (read_at, model_id);

create table retirement_notices (
  model_id smallint not null,
  before timestamp with time zone not null
);
alter table retirement_notices add constraint retirement_notices_model_id_fkey FOREIGN KEY (model_id) REFERENCES models(id);
alter table retirement_notices add constraint retirement_notices_pkey PRIMARY KEY (model_id);

create table rewrites (
  file oid not null,
  node oid not null,
  changed_xid xid8 not null,
  tried_by uuid /* statistics 0 */,
  tries integer not null default 0
);
alter table rewrites add constraint rewrites_pkey PRIMARY KEY (file);

create table statement_runs (
  month date not null,
  accounts_until timestamp with time zone not null default '1970-01-01 00:00:00+00'::timestamp with time zone
);
alter table statement_runs add constraint statement_runs_month_begins CHECK ((EXTRACT(day FROM month) = (1)::numeric));
alter table statement_runs add constraint statement_runs_pkey PRIMARY KEY (month);

create table throttles (
  account_id uuid not null /* statistics 0 */,
  signal abuse_signal not null,
  requests_per_minute integer not null,
  began_at timestamp with time zone not null default now(),
  ends_at timestamp with time zone not null,
  lifted boolean not null default false
);
alter table throttles add constraint throttles_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table throttles add constraint throttles_are_bounded CHECK (((ends_at > began_at) AND (ends_at <= (began_at + '1 day'::interval))));
alter table throttles add constraint throttles_pkey PRIMARY KEY (account_id);
alter table throttles add constraint throttles_requests_per_minute_check CHECK ((requests_per_minute > 0));

create table usage_events (
  id uuid not null /* statistics 0 */,
  account_id uuid not null /* statistics 0 */,
  key_id uuid not null /* statistics 0 */,
  cost_micro bigint not null,
  price_version integer not null,
  prompt_tokens integer not null,
  cached_tokens integer not null,
  completion_tokens integer not null,
  reasoning_tokens integer not null,
  images integer not null,
  latency_ms integer not null,
  endpoint usage_endpoint not null,
  model_id smallint not null,
  status smallint not null
) partition by range (id);
CREATE TRIGGER usage_events_note_rewrite AFTER DELETE ON usage_events FOR EACH ROW EXECUTE FUNCTION note_changed_file();
alter table usage_events add constraint usage_events_cost_micro_check CHECK ((cost_micro >= 0));
alter table usage_events add constraint usage_events_pkey PRIMARY KEY (id);
create index usage_events_account ON ONLY public.usage_events USING btree (account_id, id);

create table usage_exports (
  id uuid not null default uuidv7() /* statistics 0 */,
  account_id uuid not null /* statistics 0 */,
  created_at timestamp with time zone not null default now(),
  state usage_export_state not null default 'queued'::usage_export_state,
  from_day date not null,
  to_day date,
  model_id smallint,
  key_id uuid /* statistics 0 */,
  endpoint usage_endpoint,
  status_class smallint,
  turn_at timestamp with time zone not null default now(),
  restarts integer not null default 0,
  etags text[] not null default '{}'::text[] /* statistics 0 */,
  cursor_id uuid /* statistics 0 */,
  records bigint not null default 0,
  bytes bigint not null default 0,
  first_id uuid /* statistics 0 */,
  last_id uuid /* statistics 0 */,
  subtrees bytea not null default '\x'::bytea /* statistics 0 */,
  link_hash bytea /* statistics 0 */,
  link_ends_at timestamp with time zone
);
CREATE TRIGGER usage_exports_end_mail AFTER DELETE ON usage_exports FOR EACH ROW EXECUTE FUNCTION forget_export_mail();
alter table usage_exports add constraint usage_exports_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table usage_exports add constraint usage_exports_bytes_check CHECK ((bytes >= 0));
alter table usage_exports add constraint usage_exports_etags_form CHECK ((array_to_string(etags, ','::text, '-'::text) ~ '^("?[0-9A-Za-z_.+/=-]{1,80}"?(,|$))*$'::text));
alter table usage_exports add constraint usage_exports_link_ends CHECK (((link_hash IS NULL) = (link_ends_at IS NULL)));
alter table usage_exports add constraint usage_exports_link_hash_is_sha256 CHECK ((octet_length(link_hash) = 32));
alter table usage_exports add constraint usage_exports_model_id_fkey FOREIGN KEY (model_id) REFERENCES models(id);
alter table usage_exports add constraint usage_exports_pkey PRIMARY KEY (id);
alter table usage_exports add constraint usage_exports_records_check CHECK ((records >= 0));
alter table usage_exports add constraint usage_exports_restarts_check CHECK ((restarts >= 0));
alter table usage_exports add constraint usage_exports_status_class_check CHECK (((status_class >= 1) AND (status_class <= 5)));
alter table usage_exports add constraint usage_exports_subtrees_are_hashes CHECK (((octet_length(subtrees) % 32) = 0));
create index usage_exports_account ON usage_exports USING btree (account_id, created_at);
create index usage_exports_created ON usage_exports USING btree (created_at);
create index usage_exports_turn ON usage_exports USING btree (turn_at) WHERE (state = ANY (ARRAY['queued'::usage_export_state, 'building'::usage_export_state]));

create view evidence_attestations (promise, sentence_digest, stated_at, expires_at); -- db5d09db666b
create view evidence_audit_head (day, rows, head, sealed_until, statement); -- b2cca76a86ff
create view evidence_canary (scanned_at, bytes_searched, stores_searched, stores_not_searched, hits, controls_found); -- e67d2ef0f386
create view evidence_migration (name, applied_at); -- c6e65e5846ae
create view evidence_oldest (store, oldest_at); -- d6fdab846e80
create view evidence_purge (run_id, finished_at, early_days, steps_left, refused_since); -- 7e3f9a4ff54b
create view evidence_purge_limits (step, live_days); -- 188ec56efbcf

create function abuse_signs(integer,integer,double precision,double precision,double precision,integer) returns SETOF record language sql set search_path=public, pg_temp; -- 0778b99319d9
create function account_ask_email(uuid,text) returns void language plpgsql security definer set search_path=public, pg_temp; -- 7c92e1363ad5
create function account_ask_mail(text,account_token_purpose) returns void language plpgsql security definer set search_path=public, pg_temp; -- cb832a039767
create function account_change_key(uuid,uuid,jsonb) returns void language plpgsql security definer set search_path=public, pg_temp; -- 614c416116ce
create function account_close(uuid,boolean) returns void language plpgsql security definer set search_path=public, pg_temp; -- 96cfdd6a2e6e
create function account_confirm_email(bytea) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- 2bf0c1f8d38a
create function account_copy_page(uuid,text,text,integer) returns SETOF text language plpgsql security definer set search_path=public, pg_temp; -- 5609ac5d7368
create function account_create_key(uuid,bytea,text,text,text[],text[],timestamp with time zone,integer,integer,bigint,integer,integer) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- 54efc7fc1dc7
create function account_credentials(text,uuid,bytea,account_token_purpose) returns SETOF record language plpgsql security definer set search_path=public, pg_temp; -- 01700df0c014
create function account_end_sessions(uuid) returns void language sql security definer set search_path=public, pg_temp; -- cbb47d893fed
create function account_key_use(uuid,integer) returns TABLE(key_id uuid, last_call uuid, oldest uuid) language sql security definer set search_path=public, pg_temp; -- 110e14c74f8d
create function account_keys(uuid) returns TABLE(id uuid, prefix text, name text, scopes text[], models text[], expires_at timestamp with time zone, requests_per_minute integer, tokens_per_minute integer, monthly_budget_micro bigint, revoked_at timestamp with time zone) language sql security definer set search_path=public, pg_temp; -- 28f236aa4d2d
create function account_mint_token(uuid,account_token_purpose,bytea,interval,interval) returns boolean language sql security definer set search_path=public, pg_temp; -- 2674ec8ff0fd
create function account_of_email(text) returns uuid language plpgsql set search_path=public, pg_temp; -- 291cb43d9b02
create function account_profile(uuid) returns SETOF record language sql security definer set search_path=public, pg_temp; -- 228ee18bd652
create function account_reopen(bytea) returns void language plpgsql security definer set search_path=public, pg_temp; -- b7643b66c915
create function account_reset_password(bytea,text,bigint) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- 4abed8eb85aa
create function account_revoke_key(uuid,uuid) returns void language plpgsql security definer set search_path=public, pg_temp; -- a71a94036da9
create function account_rotate_key(uuid,uuid,bytea,text,interval,integer,integer) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- e2cbdeecadac
create function account_set_name(uuid,text) returns void language sql security definer set search_path=public, pg_temp; -- e4b3c3b4f667
create function account_set_password(uuid,text,text) returns void language plpgsql security definer set search_path=public, pg_temp; -- a0e509a65159
create function account_sign_up(text,text,text) returns void language plpgsql security definer set search_path=public, pg_temp; -- ddd321c9fbfb
create function account_verify_email(bytea,text,bigint) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- ff21d13d1b49
create function act_as(uuid) returns void language plpgsql set search_path=public, pg_temp; -- b9ffd5687a03
create function act_as_operator(bytea) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- dcff842e38e8
create function acting_operator() returns uuid language sql set search_path=public, pg_temp; -- 4c8dcb4eb71c
create function admin_announce_retirement(text,timestamp with time zone,interval) returns void language plpgsql security definer set search_path=public, pg_temp; -- 90123aeafd84
create function admin_attest(attested_promise,bytea,integer) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- a87b58ed784a
create function admin_balance(uuid) returns record language plpgsql security definer set search_path=public, pg_temp; -- 92f4f1d30c6f
create function admin_booked_until() returns timestamp with time zone language sql security definer set search_path=public, pg_temp; -- 08fa3067beb9
create function admin_books(date,date) returns SETOF record language sql security definer set search_path=public, pg_temp; -- 09753760d884
create function admin_close_account(uuid) returns void language plpgsql security definer set search_path=public, pg_temp; -- fa755711214e
create function admin_confirm_invoice(uuid,bigint,bigint) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- 431af2e8b67f
create function admin_confirm_purge_gap() returns void language plpgsql security definer set search_path=public, pg_temp; -- f87de1696e2d
create function admin_create_account(text,text) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- 44158d9a6887
create function admin_create_key(uuid,bytea,text,text,text[],text[],timestamp with time zone,integer,integer,bigint) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- 3af5af5ab07c
create function admin_create_model(text,model_kind,integer,integer,integer,integer) returns void language plpgsql security definer set search_path=public, pg_temp; -- 83b808dca7d0
create function admin_create_price(text,timestamp with time zone,bigint,bigint,bigint,bigint,jsonb) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 93b94cf7b156
create function admin_export_audit(date,date) returns SETOF record language plpgsql security definer set search_path=public, pg_temp; -- 7e1a37b24936
create function admin_find_accounts(text,uuid,text) returns SETOF record language plpgsql security definer set search_path=public, pg_temp; -- b449314b9df3
create function admin_find_invoices(integer,integer,uuid) returns SETOF invoices language plpgsql security definer set search_path=public, pg_temp; -- 7898ba23ed29
create function admin_grant_signup_credit(uuid,bigint) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- d7d07c2470a3
create function admin_lift_throttle(uuid) returns void language plpgsql security definer set search_path=public, pg_temp; -- f52ccc360024
create function admin_list_abuse(integer,integer,double precision,double precision,double precision,integer) returns SETOF record language plpgsql security definer set search_path=public, pg_temp; -- ffb619b92983
create function admin_list_attestations() returns SETOF record language sql security definer set search_path=public, pg_temp; -- 92c808298ac1
create function admin_list_audit_days(integer) returns SETOF record language sql security definer set search_path=public, pg_temp; -- 6ff94f549602
create function admin_list_engines() returns SETOF record language sql security definer set search_path=public, pg_temp; -- 5e4e3acda73a
create function admin_list_models(integer) returns jsonb language sql security definer set search_path=public, pg_temp; -- fe8bc61da654
create function admin_list_purge_runs(integer) returns jsonb language sql security definer set search_path=public, pg_temp; -- a62212b85a08
create function admin_list_throttles() returns SETOF throttles language sql security definer set search_path=public, pg_temp; -- 75d355bc613a
create function admin_post_billing_event(uuid,billing_kind,bigint,billing_reason,uuid) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- fb4b6febae65
create function admin_read_account(uuid) returns jsonb language plpgsql security definer set search_path=public, pg_temp; -- 18db6b7eecbe
create function admin_read_audit(uuid,uuid,audit_action,timestamp with time zone,timestamp with time zone,timestamp with time zone,bigint,integer) returns SETOF record language plpgsql security definer set search_path=public, pg_temp; -- 44150ee614ff
create function admin_revoke_key(uuid) returns void language plpgsql security definer set search_path=public, pg_temp; -- ba327c2f942d
create function admin_set_key_limits(uuid,jsonb) returns void language plpgsql security definer set search_path=public, pg_temp; -- 6d688753b43d
create function admin_set_model_enabled(text,boolean) returns void language plpgsql security definer set search_path=public, pg_temp; -- 0ec50ba2e7bc
create function admin_set_suspended(uuid,boolean,suspension_reason) returns void language plpgsql security definer set search_path=public, pg_temp; -- cc91d45492e6
create function admin_withdraw_attestation(attested_promise) returns void language plpgsql security definer set search_path=public, pg_temp; -- 51087693fe2e
create function admin_withdraw_retirement(text) returns void language plpgsql security definer set search_path=public, pg_temp; -- 32aa13c10173
create function append_account_audit(audit_action,uuid,uuid) returns void language sql set search_path=public, pg_temp; -- c3baf54bdbc6
create function append_audit(audit_action,uuid,uuid,suspension_reason) returns void language sql set search_path=public, pg_temp; -- adcff5b335eb
create function arm_balance_alert() returns trigger language plpgsql security definer set search_path=public, pg_temp; -- 563197a39dfd
create function audit_commitment(uuid,uuid) returns bytea language sql set search_path=public, pg_temp; -- 521d034823e8
create function audit_purge_run() returns trigger language plpgsql set search_path=public, pg_temp; -- 79ebad38a3c4
create function audit_rows(timestamp with time zone,bigint,timestamp with time zone,integer) returns SETOF record language sql security definer set search_path=public, pg_temp; -- ed542529e009
create function audit_text(timestamp with time zone) returns text language sql set search_path=public, pg_temp; -- 667dd5cbbd00
create function audit_time() returns timestamp with time zone language plpgsql set search_path=public, pg_temp; -- cf21ee537cc9
create function balance_alert(uuid) returns bigint language sql security definer set search_path=public, pg_temp; -- e65bd99e665b
create function balance_at(uuid,timestamp with time zone) returns bigint language plpgsql security definer set search_path=public, pg_temp set plan_cache_mode=force_custom_plan; -- 06820710e436
create function balance_micro(uuid) returns bigint language sql set search_path=public, pg_temp; -- ce6c5f8c9df1
create function begin_audit_seal() returns record language plpgsql security definer set search_path=public, pg_temp set lock_timeout=100ms; -- 7a05fc2ea9d0
create function begin_purge_run(integer) returns record language plpgsql security definer set search_path=public, pg_temp; -- 834817f7698e
create function begin_session(uuid,text,text) returns double precision language plpgsql security definer set search_path=public, pg_temp; -- d1902951f680
create function billing_events_between(uuid,timestamp with time zone,timestamp with time zone) returns TABLE(created_at timestamp with time zone, kind billing_kind, reason billing_reason, amount_micro bigint) language sql security definer set search_path=public, pg_temp; -- 7b619d2bde61
create function book_late_event() returns trigger language plpgsql set search_path=public, pg_temp; -- 32613d929900
create function book_usage_slice(uuid) returns integer language plpgsql security definer set search_path=public, pg_temp set lock_timeout=50ms; -- 132b7409ecee
create function cancel_invoice(uuid,uuid) returns void language plpgsql security definer set search_path=public, pg_temp; -- 7df5f2960839
create function captured_tokens(interval) returns SETOF record language sql security definer set search_path=public, pg_temp; -- 893b62df8963
create function check_event_balanced() returns trigger language plpgsql set search_path=public, pg_temp; -- 3c2122e95a4a
create function claim_request(uuid,bytea[],uuid,uuid,uuid,text,usage_endpoint,integer,interval,interval,integer) returns record language plpgsql security definer set search_path=public, pg_temp; -- 1d4dd2717b64
create function close_expired_leases(integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- ee07d431f1a8
create function close_expired_leases_of(uuid) returns integer language plpgsql set search_path=public, pg_temp; -- b1727cd8f1da
create function close_leases(uuid,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 7b086b49d208
create function close_unverified_accounts(uuid,integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 3742b51fdb39
create function complete_audit_row() returns trigger language plpgsql set search_path=public, pg_temp; -- 39c2b3bdb5a3
create function confirm_purge_gap(text) returns void language plpgsql set search_path=public, pg_temp; -- 7c4a9d6801bf
create function count_ended_lease() returns trigger language plpgsql set search_path=public, pg_temp; -- 61bc8b9aa5da
create function create_model(text,model_kind,integer,integer,integer,integer) returns smallint language sql set search_path=public, pg_temp; -- 66a8e9481968
create function create_operator(text) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- 2584c88dbbae
create function create_price(text,timestamp with time zone,bigint,bigint,bigint,bigint) returns integer language plpgsql set search_path=public, pg_temp; -- e4667d91d151
create function create_price_line(integer,text,image_quality,bigint) returns integer language plpgsql set search_path=public, pg_temp; -- f207552c2d84
create function delete_due_audit_days(uuid,integer,integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 900a8732e207
create function delete_due_operators(uuid,integer,integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 722a334ad20d
create function delete_due_rows(uuid,purge_step,integer,integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- bee2de1708ae
create function delete_ended_throttles(uuid,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- f11497e9b532
create function delete_expired_claims(uuid,integer,integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 81d9516c7540
create function delete_expired_exports(uuid,integer,integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- e54c434388a2
create function delete_expired_logins(uuid,purge_step,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 8535291fe3d6
create function delete_expired_tokens(uuid,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 5b94b8f267f1
create function disable_operator(uuid) returns void language plpgsql security definer set search_path=public, pg_temp; -- 296a09de29c7
create function drop_due_usage_slice(uuid,integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp set lock_timeout=50ms; -- 482501c4996d
create function end_of_sessions() returns timestamp with time zone language sql set search_path=public, pg_temp; -- 27b6e321c850
create function end_usage_exports(integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 2d1ab1a004c4
create function enrol_operator(bytea,bytea,bytea,bigint) returns void language plpgsql security definer set search_path=public, pg_temp; -- c65def04e01f
create function ensure_usage_slices(integer) returns integer language plpgsql security definer set search_path=public, pg_temp set lock_timeout=50ms; -- 4e54d4a82a43
create function erase_due_account(uuid,integer,integer) returns erasure_outcome language plpgsql security definer set search_path=public, pg_temp; -- 29e6139b8749
create function evidence_due_erasures(integer) returns record language sql security definer set search_path=public, pg_temp; -- c15c76a12abd
create function expect_room_for_key(uuid,integer,integer) returns void language plpgsql set search_path=public, pg_temp; -- 260183770930
create function find_operator_credential(bytea) returns SETOF record language sql security definer set search_path=public, pg_temp; -- cb9c812a5900
create function find_operator_invite(bytea) returns SETOF record language sql security definer set search_path=public, pg_temp; -- 9d1d8c3acec3
create function finish_mail(uuid) returns void language sql security definer set search_path=public, pg_temp; -- b32e88418707
create function finish_purge_run(uuid,integer) returns void language plpgsql security definer set search_path=public, pg_temp; -- d0961c8902ed
create function finish_usage_export(uuid,integer) returns boolean language plpgsql security definer set search_path=public, pg_temp; -- b804d27fe50d
create function forfeit_key(uuid,timestamp with time zone) returns uuid language sql set search_path=public, pg_temp; -- 72fade4b3433
create function forget_audit_subject() returns trigger language plpgsql security definer set search_path=public, pg_temp; -- e92ade965312
create function forget_export_mail() returns trigger language plpgsql security definer set search_path=public, pg_temp; -- 9d71ec128732
create function forget_idle_rates() returns integer language plpgsql security definer set search_path=public, pg_temp; -- 3fecd915f04d
create function forget_key_use(uuid,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- f5059ecf4202
create function forget_unconfirmed_emails(uuid,integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 32c29c5ed20e
create function grant_leases_one_by_one(interval,lease_request[]) returns TABLE(outcome text, lease_id uuid, granted_micro bigint, needs_covered integer, available_micro bigint) language plpgsql; -- d1f864059aa5
create function grant_signup_credit(uuid,bigint) returns uuid language plpgsql set search_path=public, pg_temp; -- 090155a35519
create function guard_invoice() returns trigger language plpgsql set search_path=public, pg_temp; -- 63cfd4f82b2c
create function invite_operator(uuid,bytea,boolean,integer) returns void language plpgsql security definer set search_path=public, pg_temp; -- 57a29032293b
create function invoice_recipient(uuid) returns SETOF record language sql security definer set search_path=public, pg_temp; -- 20f254cb5eac
create function invoice_year(timestamp with time zone) returns smallint language sql; -- f9c160db92d5
create function keep_slices_ahead(uuid) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 8ed5c770cbb1
create function last_statement_month() returns date language sql; -- 042dda523d39
create function lease_move(interval,lease_change[],lease_request[],uuid[]) returns record language plpgsql security definer set search_path=public, pg_temp set plan_cache_mode=force_generic_plan set enable_seqscan=off set enable_hashjoin=off set enable_mergejoin=off set enable_material=off; -- 04d641e09ec5
create function link_usage_export(uuid,uuid,bytea,integer,integer) returns timestamp with time zone language sql security definer set search_path=public, pg_temp; -- 7499ce0a5573
create function list_operators() returns SETOF record language sql security definer set search_path=public, pg_temp; -- bfdc5a7c720a
create function note_change() returns trigger language plpgsql; -- d100be6f14d5
create function note_changed_file() returns trigger language plpgsql security definer set search_path=public, pg_temp; -- 9df0fb3eae86
create function note_erased_account() returns trigger language plpgsql security definer set search_path=public, pg_temp; -- 64b1c663c832
create function note_purge_step(uuid,purge_step,integer,bigint) returns void language plpgsql set search_path=public, pg_temp; -- 616903b7be24
create function note_rewrite(oid) returns void language sql set search_path=public, pg_temp; -- 1111a18152bc
create function note_rewrites(uuid) returns record language plpgsql security definer set search_path=public, pg_temp; -- 1037671ffb86
create function note_usage_export_part(uuid,integer,text,uuid,bigint,bigint,uuid,uuid,bytea) returns boolean language plpgsql security definer set search_path=public, pg_temp; -- bc2eb1142bc4
create function note_verified(uuid,bigint) returns void language plpgsql set search_path=public, pg_temp; -- 57901b3640e0
create function open_key_budget(uuid,uuid) returns bigint language plpgsql set search_path=public, pg_temp; -- 927518e5e2d0
create function open_operator_challenge(bytea,integer) returns void language plpgsql security definer set search_path=public, pg_temp; -- 65cba45037c5
create function open_operator_session(text,bytea,integer) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- 0319a06007ec
create function open_usage_export(uuid,bytea) returns uuid language sql security definer set search_path=public, pg_temp; -- 5317c007233b
create function post_billing_event(uuid,billing_kind,bigint,billing_reason,uuid) returns uuid language sql set search_path=public, pg_temp; -- 7cffd4e8a75c
create function post_taxed_event(uuid,billing_kind,bigint,bigint,billing_reason,uuid) returns uuid language plpgsql set search_path=public, pg_temp; -- fc37236b40ba
create function purge_cutoff(uuid,purge_step,integer,integer) returns timestamp with time zone language plpgsql set search_path=public, pg_temp; -- f4649cbd9c51
create function queue_low_balance_mail(integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 3460739a3581
create function queue_mail(uuid,mail_template,uuid,date,smallint) returns void language sql set search_path=public, pg_temp; -- be3bdff0dfc2
create function queue_mail_once(uuid,mail_template) returns void language sql set search_path=public, pg_temp; -- 37b76f604f04
create function queue_retirement_mail() returns boolean language plpgsql security definer set search_path=public, pg_temp; -- 8e3873aabccd
create function queue_statement_mail(integer,integer) returns boolean language plpgsql security definer set search_path=public, pg_temp set plan_cache_mode=force_custom_plan; -- 378682fc1a94
create function recall_leases(uuid,uuid,uuid,boolean) returns boolean language plpgsql set search_path=public, pg_temp; -- f993ba22e064
create function record_canary_scan(bigint,integer,integer,integer,integer) returns void language sql security definer set search_path=public, pg_temp; -- edc4e19cc63c
create function record_engine_counters(timestamp with time zone,jsonb,integer) returns void language plpgsql security definer set search_path=public, pg_temp; -- f16027f19fb8
create function refuse_audit_change() returns trigger language plpgsql set search_path=public, pg_temp; -- 09aac7845e8c
create function refuse_change() returns trigger language plpgsql; -- b0abb2135474
create function refuse_leased_balance_deletion() returns trigger language plpgsql set search_path=public, pg_temp; -- 0ccafee6e84e
create function refuse_unknown_models() returns trigger language plpgsql set search_path=public, pg_temp; -- d92210a065a9
create function refuse_untold_account_deletion() returns trigger language plpgsql; -- 5fb13bcfdc00
create function refuse_untold_key_deletion() returns trigger language plpgsql; -- a066f10fbe0f
create function refuse_young_audit_deletion() returns trigger language plpgsql; -- 96581c2098b9
create function refuse_young_deletion() returns trigger language plpgsql set search_path=public, pg_temp; -- f9cbdf622e1c
create function release_claim(uuid,bytea[],uuid) returns void language sql security definer set search_path=public, pg_temp; -- 0f31c9003731
create function request_top_up(uuid,bigint,uuid,integer,integer,integer,integer) returns record language plpgsql security definer set search_path=public, pg_temp; -- 17399ddccee5
create function request_usage_export(uuid,date,date,text,uuid,usage_endpoint,smallint,integer,integer) returns uuid language plpgsql security definer set search_path=public, pg_temp; -- e38b1e1ed9f6
create function restart_usage_export(uuid,integer) returns void language sql security definer set search_path=public, pg_temp; -- 9b4cbddcbba7
create function retirement_date(text) returns timestamp with time zone language sql security definer set search_path=public, pg_temp; -- 85a1cbe911fc
create function seal_audit_day(date,integer,bytea,timestamp with time zone,text) returns void language plpgsql security definer set search_path=public, pg_temp; -- 3352b5f526c2
create function set_balance_alert(uuid,bigint) returns void language plpgsql security definer set search_path=public, pg_temp; -- 2f3542c21531
create function settle(settlement[]) returns TABLE(row_number bigint, outcome settle_outcome, charged_micro bigint) language plpgsql security definer set search_path=public, pg_temp set plan_cache_mode=force_generic_plan set enable_seqscan=off set enable_hashjoin=off set enable_mergejoin=off; -- bc97e79a82a6
create function settle_one_by_one(settlement[]) returns TABLE(row_number bigint, outcome settle_outcome, charged_micro bigint) language plpgsql security definer set search_path=public, pg_temp set plan_cache_mode=force_generic_plan; -- a6e4f451c1d6
create function settle_reconciliations(interval) returns integer language plpgsql security definer set search_path=public, pg_temp; -- a8a44acacc07
create function settle_short(uuid,uuid,uuid[]) returns void language plpgsql set search_path=public, pg_temp; -- 698d092ad061
create function settle_short_of_key(uuid,uuid,uuid,uuid[]) returns void language plpgsql set search_path=public, pg_temp; -- f56573c12de6
create function sign_in_operator(bytea,bigint,bytea,integer) returns void language plpgsql security definer set search_path=public, pg_temp; -- 92d7364fadcb
create function sign_out_operator(bytea,boolean) returns void language plpgsql security definer set search_path=public, pg_temp; -- 839df4d6ed4f
create function statement_months(uuid) returns SETOF date language sql security definer set search_path=public, pg_temp; -- 4d1ab3b625e6
create function statement_start(date) returns timestamp with time zone language sql; -- 4747f6801f9a
create function stop_sampling() returns void language plpgsql set search_path=public, pg_temp; -- cb11e2cc9b59
create function take_mail() returns SETOF record language sql security definer set search_path=public, pg_temp; -- b34bbcd20c9a
create function take_operator_challenge(bytea) returns boolean language plpgsql security definer set search_path=public, pg_temp; -- efb08bf7d903
create function take_rates(jsonb) returns TABLE(granted bigint, remaining bigint, wait_ms integer, reset_ms integer) language plpgsql security definer set search_path=public, pg_temp; -- 4ded961144ae
create function take_rewrite(uuid,integer) returns text language plpgsql security definer set search_path=public, pg_temp; -- 5c4a02b32219
create function take_usage_export_turn() returns SETOF uuid language sql security definer set search_path=public, pg_temp; -- 559f3ff6d40e
create function throttle_abusers(integer,integer,double precision,double precision,double precision,integer,integer,integer) returns integer language plpgsql security definer set search_path=public, pg_temp; -- 2608b723a834
create function unbooked_slices() returns TABLE(slice regclass, starts_at timestamp with time zone) language sql set search_path=public, pg_temp; -- ce984a24ebba
create function usage_by_model(uuid,timestamp with time zone,timestamp with time zone) returns TABLE(model text, requests bigint, prompt_tokens bigint, cached_tokens bigint, completion_tokens bigint, reasoning_tokens bigint, images bigint, cost_micro bigint) language sql security definer set search_path=public, pg_temp set plan_cache_mode=force_custom_plan; -- 6129e06470e9
create function usage_is_whole_since(timestamp with time zone) returns boolean language sql set search_path=public, pg_temp; -- 8e8a1b64aa03
create function usage_slice_name(timestamp with time zone) returns text language sql; -- 5d7e3293c3a2
create function usage_slice_start(timestamp with time zone) returns timestamp with time zone language sql; -- 66a0319c85ed
create function use_account_token(bytea,account_token_purpose) returns uuid language plpgsql set search_path=public, pg_temp; -- a18013013d3d
create function uuidv7_floor(timestamp with time zone) returns uuid language sql; -- 057eac850ce6
create function void_claimed(idempotency_claims) returns void language plpgsql set search_path=public, pg_temp; -- a7718307bedc

grant execute on function account_ask_email(uuid,text) to epithre_accounts;
grant execute on function account_ask_mail(text,account_token_purpose) to epithre_accounts;
grant execute on function account_change_key(uuid,uuid,jsonb) to epithre_accounts;
grant execute on function account_close(uuid,boolean) to epithre_accounts;
grant execute on function account_confirm_email(bytea) to epithre_accounts;
grant execute on function account_copy_page(uuid,text,text,integer) to epithre_accounts;
grant execute on function account_create_key(uuid,bytea,text,text,text[],text[],timestamp with time zone,integer,integer,bigint,integer,integer) to epithre_accounts;
grant execute on function account_credentials(text,uuid,bytea,account_token_purpose) to epithre_accounts;
grant execute on function account_end_sessions(uuid) to epithre_accounts;
grant execute on function account_key_use(uuid,integer) to epithre_accounts;
grant execute on function account_keys(uuid) to epithre_accounts;
grant execute on function account_mint_token(uuid,account_token_purpose,bytea,interval,interval) to epithre_accounts;
grant execute on function account_profile(uuid) to epithre_accounts;
grant execute on function account_reopen(bytea) to epithre_accounts;
grant execute on function account_reset_password(bytea,text,bigint) to epithre_accounts;
grant execute on function account_revoke_key(uuid,uuid) to epithre_accounts;
grant execute on function account_rotate_key(uuid,uuid,bytea,text,interval,integer,integer) to epithre_accounts;
grant execute on function account_set_name(uuid,text) to epithre_accounts;
grant execute on function account_set_password(uuid,text,text) to epithre_accounts;
grant execute on function account_sign_up(text,text,text) to epithre_accounts;
grant execute on function account_verify_email(bytea,text,bigint) to epithre_accounts;
grant execute on function act_as_operator(bytea) to epithre_admin;
grant execute on function admin_announce_retirement(text,timestamp with time zone,interval) to epithre_admin;
grant execute on function admin_attest(attested_promise,bytea,integer) to epithre_admin;
grant execute on function admin_balance(uuid) to epithre_admin;
grant execute on function admin_booked_until() to epithre_admin;
grant execute on function admin_books(date,date) to epithre_admin;
grant execute on function admin_close_account(uuid) to epithre_admin;
grant execute on function admin_confirm_invoice(uuid,bigint,bigint) to epithre_admin;
grant execute on function admin_confirm_purge_gap() to epithre_admin;
grant execute on function admin_create_account(text,text) to epithre_admin;
grant execute on function admin_create_key(uuid,bytea,text,text,text[],text[],timestamp with time zone,integer,integer,bigint) to epithre_admin;
grant execute on function admin_create_model(text,model_kind,integer,integer,integer,integer) to epithre_admin;
grant execute on function admin_create_price(text,timestamp with time zone,bigint,bigint,bigint,bigint,jsonb) to epithre_admin;
grant execute on function admin_export_audit(date,date) to epithre_admin;
grant execute on function admin_find_accounts(text,uuid,text) to epithre_admin;
grant execute on function admin_find_invoices(integer,integer,uuid) to epithre_admin;
grant execute on function admin_grant_signup_credit(uuid,bigint) to epithre_admin;
grant execute on function admin_lift_throttle(uuid) to epithre_admin;
grant execute on function admin_list_abuse(integer,integer,double precision,double precision,double precision,integer) to epithre_admin;
grant execute on function admin_list_attestations() to epithre_admin;
grant execute on function admin_list_audit_days(integer) to epithre_admin;
grant execute on function admin_list_engines() to epithre_admin;
grant execute on function admin_list_models(integer) to epithre_admin;
grant execute on function admin_list_purge_runs(integer) to epithre_admin;
grant execute on function admin_list_throttles() to epithre_admin;
grant execute on function admin_post_billing_event(uuid,billing_kind,bigint,billing_reason,uuid) to epithre_admin;
grant execute on function admin_read_account(uuid) to epithre_admin;
grant execute on function admin_read_audit(uuid,uuid,audit_action,timestamp with time zone,timestamp with time zone,timestamp with time zone,bigint,integer) to epithre_admin;
grant execute on function admin_revoke_key(uuid) to epithre_admin;
grant execute on function admin_set_key_limits(uuid,jsonb) to epithre_admin;
grant execute on function admin_set_model_enabled(text,boolean) to epithre_admin;
grant execute on function admin_set_suspended(uuid,boolean,suspension_reason) to epithre_admin;
grant execute on function admin_withdraw_attestation(attested_promise) to epithre_admin;
grant execute on function admin_withdraw_retirement(text) to epithre_admin;
grant execute on function audit_rows(timestamp with time zone,bigint,timestamp with time zone,integer) to epithre_admin;
grant execute on function audit_rows(timestamp with time zone,bigint,timestamp with time zone,integer) to epithre_audit_seal;
grant execute on function balance_alert(uuid) to epithre_billing;
grant execute on function balance_at(uuid,timestamp with time zone) to epithre_billing;
grant execute on function begin_audit_seal() to epithre_audit_seal;
grant execute on function begin_purge_run(integer) to epithre_purge;
grant execute on function begin_session(uuid,text,text) to epithre_accounts;
grant execute on function billing_events_between(uuid,timestamp with time zone,timestamp with time zone) to epithre_billing;
grant execute on function book_usage_slice(uuid) to epithre_purge;
grant execute on function cancel_invoice(uuid,uuid) to epithre_billing;
grant execute on function captured_tokens(interval) to epithre_admin;
grant execute on function captured_tokens(interval) to epithre_reconcile;
grant execute on function claim_request(uuid,bytea[],uuid,uuid,uuid,text,usage_endpoint,integer,interval,interval,integer) to epithre_usage_record;
grant execute on function close_expired_leases(integer) to epithre_billing;
grant execute on function close_leases(uuid,integer) to epithre_purge;
grant execute on function close_unverified_accounts(uuid,integer,integer) to epithre_purge;
grant execute on function create_operator(text) to epithre_admin;
grant execute on function delete_due_audit_days(uuid,integer,integer,integer) to epithre_purge;
grant execute on function delete_due_operators(uuid,integer,integer,integer) to epithre_purge;
grant execute on function delete_due_rows(uuid,purge_step,integer,integer,integer) to epithre_purge;
grant execute on function delete_ended_throttles(uuid,integer) to epithre_purge;
grant execute on function delete_expired_claims(uuid,integer,integer,integer) to epithre_purge;
grant execute on function delete_expired_exports(uuid,integer,integer,integer) to epithre_purge;
grant execute on function delete_expired_logins(uuid,purge_step,integer) to epithre_purge;
grant execute on function delete_expired_tokens(uuid,integer) to epithre_purge;
grant execute on function disable_operator(uuid) to epithre_admin;
grant execute on function drop_due_usage_slice(uuid,integer,integer) to epithre_purge;
grant execute on function end_usage_exports(integer,integer) to epithre_export;
grant execute on function enrol_operator(bytea,bytea,bytea,bigint) to epithre_admin;
grant execute on function erase_due_account(uuid,integer,integer) to epithre_purge;
grant execute on function evidence_due_erasures(integer) to epithre_policy;
grant execute on function find_operator_credential(bytea) to epithre_admin;
grant execute on function find_operator_invite(bytea) to epithre_admin;
grant execute on function finish_mail(uuid) to epithre_notify;
grant execute on function finish_purge_run(uuid,integer) to epithre_purge;
grant execute on function finish_usage_export(uuid,integer) to epithre_export;
grant execute on function forget_idle_rates() to epithre_key_auth;
grant execute on function forget_key_use(uuid,integer) to epithre_purge;
grant execute on function forget_unconfirmed_emails(uuid,integer,integer) to epithre_purge;
grant execute on function invite_operator(uuid,bytea,boolean,integer) to epithre_admin;
grant execute on function invoice_recipient(uuid) to epithre_billing;
grant execute on function keep_slices_ahead(uuid) to epithre_purge;
grant execute on function lease_move(interval,lease_change[],lease_request[],uuid[]) to epithre_billing;
grant execute on function link_usage_export(uuid,uuid,bytea,integer,integer) to epithre_export;
grant execute on function list_operators() to epithre_admin;
grant execute on function note_rewrites(uuid) to epithre_purge;
grant execute on function note_usage_export_part(uuid,integer,text,uuid,bigint,bigint,uuid,uuid,bytea) to epithre_export;
grant execute on function open_operator_challenge(bytea,integer) to epithre_admin;
grant execute on function open_usage_export(uuid,bytea) to epithre_export;
grant execute on function queue_low_balance_mail(integer) to epithre_notify;
grant execute on function queue_retirement_mail() to epithre_notify;
grant execute on function queue_statement_mail(integer,integer) to epithre_notify;
grant execute on function record_canary_scan(bigint,integer,integer,integer,integer) to epithre_canary;
grant execute on function record_engine_counters(timestamp with time zone,jsonb,integer) to epithre_reconcile;
grant execute on function release_claim(uuid,bytea[],uuid) to epithre_usage_record;
grant execute on function request_top_up(uuid,bigint,uuid,integer,integer,integer,integer) to epithre_billing;
grant execute on function request_usage_export(uuid,date,date,text,uuid,usage_endpoint,smallint,integer,integer) to epithre_export;
grant execute on function restart_usage_export(uuid,integer) to epithre_export;
grant execute on function retirement_date(text) to epithre_notify;
grant execute on function seal_audit_day(date,integer,bytea,timestamp with time zone,text) to epithre_audit_seal;
grant execute on function set_balance_alert(uuid,bigint) to epithre_billing;
grant execute on function settle(settlement[]) to epithre_usage_record;
grant execute on function settle_reconciliations(interval) to epithre_reconcile;
grant execute on function sign_in_operator(bytea,bigint,bytea,integer) to epithre_admin;
grant execute on function sign_out_operator(bytea,boolean) to epithre_admin;
grant execute on function statement_months(uuid) to epithre_billing;
grant execute on function take_mail() to epithre_notify;
grant execute on function take_operator_challenge(bytea) to epithre_admin;
grant execute on function take_rates(jsonb) to epithre_key_auth;
grant execute on function take_rewrite(uuid,integer) to epithre_purge;
grant execute on function take_usage_export_turn() to epithre_export;
grant execute on function throttle_abusers(integer,integer,double precision,double precision,double precision,integer,integer,integer) to epithre_admin;
grant execute on function usage_by_model(uuid,timestamp with time zone,timestamp with time zone) to epithre_billing;
grant maintain on account_tokens to epithre_purge;
grant maintain on accounts to epithre_purge;
grant maintain on api_keys to epithre_purge;
grant maintain on attestations to epithre_purge;
grant maintain on audit_clock to epithre_purge;
grant maintain on audit_days to epithre_purge;
grant maintain on audit_log to epithre_purge;
grant maintain on balance_alerts to epithre_purge;
grant maintain on balances to epithre_purge;
grant maintain on billing_events to epithre_purge;
grant maintain on canary_scans to epithre_purge;
grant maintain on daily_books to epithre_purge;
grant maintain on engine_counters to epithre_purge;
grant maintain on evidence_attestations to epithre_purge;
grant maintain on evidence_audit_head to epithre_purge;
grant maintain on evidence_canary to epithre_purge;
grant maintain on evidence_migration to epithre_purge;
grant maintain on evidence_oldest to epithre_purge;
grant maintain on evidence_purge to epithre_purge;
grant maintain on evidence_purge_limits to epithre_purge;
grant maintain on idempotency_claims to epithre_purge;
grant maintain on invoice_numbers to epithre_purge;
grant maintain on invoices to epithre_purge;
grant maintain on key_budgets to epithre_purge;
grant maintain on key_rates to epithre_purge;
grant maintain on leases to epithre_purge;
grant maintain on ledger_entries to epithre_purge;
grant maintain on migrations to epithre_purge;
grant maintain on models to epithre_purge;
grant maintain on operator_challenges to epithre_purge;
grant maintain on operator_credentials to epithre_purge;
grant maintain on operator_invites to epithre_purge;
grant maintain on operator_losses to epithre_purge;
grant maintain on operator_sessions to epithre_purge;
grant maintain on operators to epithre_purge;
grant maintain on outbox to epithre_purge;
grant maintain on persons to epithre_purge;
grant maintain on persons_0 to epithre_purge;
grant maintain on persons_1 to epithre_purge;
grant maintain on persons_2 to epithre_purge;
grant maintain on persons_3 to epithre_purge;
grant maintain on persons_4 to epithre_purge;
grant maintain on persons_5 to epithre_purge;
grant maintain on persons_6 to epithre_purge;
grant maintain on persons_7 to epithre_purge;
grant maintain on prices to epithre_purge;
grant maintain on purge_runs to epithre_purge;
grant maintain on purge_steps to epithre_purge;
grant maintain on reconciliations to epithre_purge;
grant maintain on retirement_notices to epithre_purge;
grant maintain on rewrites to epithre_purge;
grant maintain on statement_runs to epithre_purge;
grant maintain on throttles to epithre_purge;
grant maintain on usage_events to epithre_purge;
grant maintain on usage_events_2026112508 to epithre_purge;
grant maintain on usage_events_2026112512 to epithre_purge;
grant maintain on usage_events_2026112516 to epithre_purge;
grant maintain on usage_events_2026112520 to epithre_purge;
grant maintain on usage_events_2026112600 to epithre_purge;
grant maintain on usage_events_2026112604 to epithre_purge;
grant maintain on usage_events_2026112608 to epithre_purge;
grant maintain on usage_events_2026112612 to epithre_purge;
grant maintain on usage_events_2026112616 to epithre_purge;
grant maintain on usage_events_2026112620 to epithre_purge;
grant maintain on usage_events_2026112700 to epithre_purge;
grant maintain on usage_events_2026112704 to epithre_purge;
grant maintain on usage_events_2026112708 to epithre_purge;
grant maintain on usage_events_2026112712 to epithre_purge;
grant maintain on usage_events_2026112716 to epithre_purge;
grant maintain on usage_events_2026112720 to epithre_purge;
grant maintain on usage_events_2026112800 to epithre_purge;
grant maintain on usage_events_2026112804 to epithre_purge;
grant maintain on usage_events_2026112808 to epithre_purge;
grant maintain on usage_events_2026112812 to epithre_purge;
grant maintain on usage_events_2026112816 to epithre_purge;
grant maintain on usage_events_2026112820 to epithre_purge;
grant maintain on usage_events_2026112900 to epithre_purge;
grant maintain on usage_events_2026112904 to epithre_purge;
grant maintain on usage_events_2026112908 to epithre_purge;
grant maintain on usage_events_2026112912 to epithre_purge;
grant maintain on usage_events_2026112916 to epithre_purge;
grant maintain on usage_events_2026112920 to epithre_purge;
grant maintain on usage_events_2026113000 to epithre_purge;
grant maintain on usage_events_2026113004 to epithre_purge;
grant maintain on usage_events_2026113008 to epithre_purge;
grant maintain on usage_events_2026113012 to epithre_purge;
grant maintain on usage_events_2026113016 to epithre_purge;
grant maintain on usage_events_2026113020 to epithre_purge;
grant maintain on usage_events_2026120100 to epithre_purge;
grant maintain on usage_events_2026120104 to epithre_purge;
grant maintain on usage_events_2026120108 to epithre_purge;
grant maintain on usage_events_2026120112 to epithre_purge;
grant maintain on usage_events_2026120116 to epithre_purge;
grant maintain on usage_events_2026120120 to epithre_purge;
grant maintain on usage_events_2026120200 to epithre_purge;
grant maintain on usage_events_2026120204 to epithre_purge;
grant maintain on usage_events_2026120208 to epithre_purge;
grant maintain on usage_events_2026120212 to epithre_purge;
grant maintain on usage_events_2026120216 to epithre_purge;
grant maintain on usage_events_2026120220 to epithre_purge;
grant maintain on usage_events_2026120300 to epithre_purge;
grant maintain on usage_events_2026120304 to epithre_purge;
grant maintain on usage_events_2026120308 to epithre_purge;
grant maintain on usage_events_2026120312 to epithre_purge;
grant maintain on usage_events_2026120316 to epithre_purge;
grant maintain on usage_events_2026120320 to epithre_purge;
grant maintain on usage_events_2026120400 to epithre_purge;
grant maintain on usage_events_2026120404 to epithre_purge;
grant maintain on usage_events_2026120408 to epithre_purge;
grant maintain on usage_events_2026120412 to epithre_purge;
grant maintain on usage_events_2026120416 to epithre_purge;
grant maintain on usage_events_2026120420 to epithre_purge;
grant maintain on usage_events_2026120500 to epithre_purge;
grant maintain on usage_events_2026120504 to epithre_purge;
grant maintain on usage_events_2026120508 to epithre_purge;
grant maintain on usage_events_2026120512 to epithre_purge;
grant maintain on usage_events_2026120516 to epithre_purge;
grant maintain on usage_events_2026120520 to epithre_purge;
grant maintain on usage_events_2026120600 to epithre_purge;
grant maintain on usage_events_2026120604 to epithre_purge;
grant maintain on usage_events_2026120608 to epithre_purge;
grant maintain on usage_events_2026120612 to epithre_purge;
grant maintain on usage_events_2026120616 to epithre_purge;
grant maintain on usage_events_2026120620 to epithre_purge;
grant maintain on usage_events_2026120700 to epithre_purge;
grant maintain on usage_events_2026120704 to epithre_purge;
grant maintain on usage_events_2026120708 to epithre_purge;
grant maintain on usage_events_2026120712 to epithre_purge;
grant maintain on usage_events_2026120716 to epithre_purge;
grant maintain on usage_events_2026120720 to epithre_purge;
grant maintain on usage_events_2026120800 to epithre_purge;
grant maintain on usage_events_2026120804 to epithre_purge;
grant maintain on usage_events_2026120808 to epithre_purge;
grant maintain on usage_events_2026120812 to epithre_purge;
grant maintain on usage_events_2026120816 to epithre_purge;
grant maintain on usage_events_2026120820 to epithre_purge;
grant maintain on usage_events_2026120900 to epithre_purge;
grant maintain on usage_events_2026120904 to epithre_purge;
grant maintain on usage_events_2026120908 to epithre_purge;
grant maintain on usage_events_2026120912 to epithre_purge;
grant maintain on usage_exports to epithre_purge;
grant select (id, status, changed_xid, sessions_from) on accounts to epithre_key_auth;
grant select on api_keys to epithre_key_auth;
grant select on balances to epithre_billing;
grant select on evidence_attestations to epithre_policy;
grant select on evidence_audit_head to epithre_policy;
grant select on evidence_canary to epithre_policy;
grant select on evidence_migration to epithre_policy;
grant select on evidence_oldest to epithre_policy;
grant select on evidence_purge to epithre_policy;
grant select on evidence_purge_limits to epithre_policy;
grant select on invoices to epithre_billing;
grant select on key_budgets to epithre_billing;
grant select on leases to epithre_billing;
grant select on models to epithre_billing;
grant select on models to epithre_export;
grant select on prices to epithre_billing;
grant select on throttles to epithre_key_auth;
grant select on usage_events to epithre_export;
grant select on usage_exports to epithre_export;

comment on column balances.consumed_micro is 'What its requests have cost, as far as their leases have ended; it only grows.';
comment on column balances.credited_micro is 'The sum of the account''s billing events.';
comment on column balances.leased_micro is 'The sum of what its leases were granted, expired ones included until they are closed.';
comment on column billing_events.amount_micro is 'Micro-rupiah that the event adds to the credit: 1000000 is one rupiah, -1000000 takes one.';
comment on column billing_events.idempotency_key is 'Chosen by whoever posts the event. The same key with the same event is the same event again (its id is the answer); with another one it is refused (EP409).';
comment on column invoices.billing_event_id is 'The top_up that paid it. Its idempotency key is the invoice''s id, so it is posted once.';
comment on column invoices.credit_micro is 'Micro-rupiah by which the account''s credit rises once it is paid; the tax comes on top.';
comment on column invoices.ppn_micro is 'credit_micro x ppn_basis_points / 10000, rounded once, half up, to whole rupiah. Example: 50,005 rupiah with 11 % is 5,500.55, so 5,501 rupiah.';
comment on column ledger_entries.account_id is 'The customer''s account, on entries of customer; null on all others, which are the operator''s.';
comment on function post_billing_event(uuid,billing_kind,bigint,billing_reason,uuid) is 'Posts one event once, with its two entries, and answers its id, also when the same key came with the same event before. EP404: no such account. EP409: the key came with another event. EP402: the account has less available than is taken.';
comment on function post_taxed_event(uuid,billing_kind,bigint,bigint,billing_reason,uuid) is 'Posts one event once, with its entries, and answers its id, also when the same key came with the same event before. EP404: no such account. EP409: the key came with another event. EP402: the account has less available than is taken.';
comment on table balances is 'The money of an account in three sums without dates. Balance = credited - consumed - what its open leases have consumed; available, which can be leased or refunded = credited - consumed - leased, never below zero. Example: 100,000 rupiah topped up, 1,500 of it spent, 10,000 in leases that have consumed 300 of it: balance 98,200, available 88,500.';
comment on table billing_events is 'What changed the credit of an account, beside requests: immutable, kept for 7 years (keep.billing), longer than the account. Posted by post_billing_event() only.';
comment on table invoices is 'What an account asked to pay for credit. A paid one is deleted with its billing event (7 years, keep.billing), others 90 days after they were due or with their account. Made by request_top_up(), ended by admin_confirm_invoice() or cancel_invoice() only.';
comment on table leases is 'A slice of an account''s money that one replica of the proxy may spend until expires_at. settle() debits it, so a busy account''s balances row stays alone; what is not consumed comes back when it ends.';
comment on table ledger_entries is 'Two for each billing event, three where an invoice had tax; immutable like it: a deferred trigger refuses a transaction in which they do not sum to zero, or in which the customer''s entry is not the event''s.';
comment on table operator_losses is 'What requests cost beyond what their account had, by day and model: a lease had ended before the settlement came. No account is named, and none is ever below zero.';
comment on type billing_kind is 'The kinds of billing events that the policy names (keep.billing). top_up: a transfer arrived, amount above zero. refund: credit was paid back, below zero. signup_credit: credit given with a new account, above zero. adjustment: either. A correction is a new event: a top_up that was entered with 10 rupiah too many is followed by an adjustment of -10 rupiah, reason correction. What requests cost is no billing event.';
comment on type billing_reason is 'Why an event was posted, from a closed list. bank_transfer: for a top_up. signup: for a signup_credit. refund_requested, account_closing: for a refund; account_closing also for the adjustment by which credit is forfeited with consent. service_fault, goodwill, correction: for an adjustment or a refund.';
comment on type ledger_account is 'The accounts of the double entry. Each event has entries that sum to zero: one on customer (credit that we owe the account named beside it; above zero: more of it), one on another account (what stands against it), and of an invoice with tax one on ppn_payable. bank: money that came in for a top_up, tax included. refunds: money that went back for a refund. signup_credit_expense: credit that we gave. adjustments: corrections, goodwill, and credit that was forfeited. ppn_payable: PPN (VAT) that came in with a paid invoice and is owed to the tax office; no part of anybody''s credit. Example: a paid invoice over 100,000 rupiah of credit with PPN of 11 % is +100000000000 on customer, +11000000000 on ppn_payable and -111000000000 on bank; a top_up that was posted without an invoice is +100000000000 on customer and -100000000000 on bank.';
