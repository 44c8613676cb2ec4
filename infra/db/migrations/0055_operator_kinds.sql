-- policy: keep.audit; what 0056 to 0059 name, which must be committed before it is used

alter type audit_action add value 'operator_created';
alter type audit_action add value 'operator_invited';
alter type audit_action add value 'operator_enrolled';
alter type audit_action add value 'operator_signed_in';
alter type audit_action add value 'operator_signed_out';
alter type audit_action add value 'operator_session_opened';
alter type audit_action add value 'operator_disabled';
alter type audit_action add value 'account_searched';
alter type audit_action add value 'account_viewed';
alter type audit_action add value 'abuse_viewed';
alter type audit_action add value 'audit_viewed';
alter type audit_action add value 'audit_exported';
alter type audit_action add value 'purge_run_finished';
alter type audit_action add value 'purge_run_refused';

alter type purge_step add value 'operators';
alter type purge_step add value 'operator_sessions';
alter type purge_step add value 'operator_invites';
