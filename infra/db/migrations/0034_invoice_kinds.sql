-- policy: keep.billing, keep.audit, keep.account; words that the next migrations use, which Postgres wants committed first

alter type ledger_account add value 'ppn_payable';
alter type mail_template add value 'invoice';
alter type mail_template add value 'receipt';
alter type audit_action add value 'invoice_confirmed';
alter type purge_step add value 'invoices';
