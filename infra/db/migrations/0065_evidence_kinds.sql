-- policy: keep.audit; what 0066 names, which must be committed before it is used

alter type audit_action add value 'promise_attested';
alter type audit_action add value 'attestation_withdrawn';
