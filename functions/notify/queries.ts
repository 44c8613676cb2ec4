/** All SQL of notify: calls of the functions that its role may use, and nothing else. */
import type { Sql } from "#shared/db.ts";
import type { About, MailTemplate } from "./schema.ts";

export interface DueMail extends About {
  id: string;
  accountId: string;
  template: MailTemplate;
  /** How often it was tried, this time included. */
  attempts: number;
  email: string;
}

/** The mail that is due longest. Taking it puts its next attempt off, so no other run sends it meanwhile. */
export async function takeMail(sql: Sql): Promise<DueMail | undefined> {
  const [mail] = await sql<DueMail[]>`
    select
      id, account_id as "accountId", template, object_id as "objectId", to_char(month, 'YYYY-MM') as month, model,
      to_char(retirement_date(model), 'YYYY-MM-DD') as "retiresOn", attempts, email
    from take_mail()
  `;
  return mail;
}

/** It was sent, or is given up: nothing of it is kept. */
export async function finishMail(sql: Sql, id: string): Promise<void> {
  await sql`select finish_mail(${id})`;
}

/** Accounts that one call below looks at or mails: few enough that it takes a fraction of a second. */
const accountsAtOnce = 100;

/** Queues mail for accounts whose balance has fallen below their threshold; answers to how many, 0 once it is all. */
export async function queueLowBalanceMail(sql: Sql, accountsMax = accountsAtOnce): Promise<number> {
  const [row] = await sql<{ queued: number }[]>`select queue_low_balance_mail(${accountsMax}) as queued`;
  return row!.queued;
}

/** Statements that wait to be sent at once, which take minutes: other mail waits behind no more of them. */
const statementsWaiting = 500;

/** Queues last month's statements for the accounts that come next; false once that is all, or enough of them wait. */
export async function queueStatementMail(sql: Sql, accountsMax = accountsAtOnce, waitingMax = statementsWaiting): Promise<boolean> {
  const [row] = await sql<{ more: boolean }[]>`select queue_statement_mail(${accountsMax}, ${waitingMax}) as more`;
  return row!.more;
}

/**
 * Queues mail for some of the recent users of a model that is to be retired; false once there is none left to look for.
 * Who ends half way has lost nothing: the next call goes on.
 */
export async function queueRetirementMail(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ more: boolean }[]>`select queue_retirement_mail() as more`;
  return row!.more;
}
