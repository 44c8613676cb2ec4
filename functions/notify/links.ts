/**
 * Links in mail. Their token is made by accounts as the mail is sent, and stands behind `#`: browsers send that part to no
 * server, so it is in no log.
 */
import type { InternalClient } from "#shared/http.ts";
import { MailTokenAnswer, type TokenPurpose } from "../accounts/schema.ts";
import type { DueMail } from "./queries.ts";
import type { MailTemplate } from "./schema.ts";

/** Milliseconds: accounts asks its database once. */
const tokenTimeoutMs = 5_000;

const purposes: Partial<Record<MailTemplate, TokenPurpose>> = {
  verify_email: "verify_email",
  reset_password: "reset_password",
  change_email: "change_email",
  account_deleted: "cancel_deletion",
};

/** `https://epithre.example/dashboard/#reset_password=TOKEN`; null where the token would be of no use any more. */
export type LinkOf = (mail: Pick<DueMail, "template" | "accountId">) => Promise<string | null>;

/** Fails when accounts does not answer: the mail is then tried again later, as if the relay had refused it. */
export function createLinks(accounts: Pick<InternalClient, "post">, dashboardUrl: string): LinkOf {
  return async function linkOf({ template, accountId }) {
    const purpose = purposes[template];
    if (!purpose) return dashboardUrl;
    const { token } = await accounts.post("/mail-tokens", { accountId, purpose }, MailTokenAnswer, tokenTimeoutMs);
    return token && `${dashboardUrl}#${purpose}=${token}`;
  };
}
