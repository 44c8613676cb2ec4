-- policy: keep.account, keep.audit (keys that their owner makes, rotates and revokes); used from 0041 on
--
-- By itself: a new value of an enum can be used once its transaction has committed.

alter type audit_actor add value 'account';
alter type audit_action add value 'key_rotated';

alter type mail_template add value 'verify_email';
alter type mail_template add value 'already_registered';
alter type mail_template add value 'reset_password';
alter type mail_template add value 'password_changed';
alter type mail_template add value 'change_email';
alter type mail_template add value 'email_change_asked';
alter type mail_template add value 'account_deleted';

alter type purge_step add value 'account_tokens';
alter type purge_step add value 'unverified_accounts';
