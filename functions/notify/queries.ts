/**
 * All SQL of notify: calls of the functions that its role may use (infra/db/migrations/0012_outbox.sql,
 * 0013_mail_parameters.sql, 0026_retirement.sql, 0041_account_credentials.sql).
 */
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

/**
 * Queues mail for some of the recent users of a model that is to be retired; false once there is none left to look for.
 * Who ends half way has lost nothing: the next call goes on.
 */
export async function queueRetirementMail(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ more: boolean }[]>`select queue_retirement_mail() as more`;
  return row!.more;
}

/** It was sent, or is given up: nothing of it is kept. */
export async function finishMail(sql: Sql, id: string): Promise<void> {
  await sql`select finish_mail(${id})`;
}
