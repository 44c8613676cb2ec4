-- policy: keep.account (mail), keep.audit, keep.usage (throttles); used from 0063 on
--
-- By itself: a new value of an enum can be used once its transaction has committed.

alter type mail_template add value 'export_ready';

alter type audit_action add value 'throttle_lifted';
alter type purge_step add value 'throttles';
-- The requests a minute of all keys of an account, while it is throttled.
alter type rate_unit add value 'throttle';
