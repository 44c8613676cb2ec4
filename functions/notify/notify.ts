/** Sends the mail that is due. */
import { sqlState, type Sql } from "#shared/db.ts";
import { EpithreError } from "#shared/errors.ts";
import type { Log } from "#shared/log.ts";
import type { Attachment, Mailer } from "#shared/mail.ts";
import { createSingleFlight } from "#shared/single-flight.ts";
import type { LinkOf } from "./links.ts";
import { type DueMail, finishMail, queueLowBalanceMail, queueRetirementMail, queueStatementMail, takeMail } from "./queries.ts";
import type { NotifyAnswer } from "./schema.ts";
import { templates } from "./templates.ts";

export interface Deps {
  /** Opens one connection, which lives as long as a run. */
  open: () => Sql;
  mailer: Mailer;
  /** The documents that go out with a mail, made now. */
  attachmentsOf(mail: DueMail): Promise<Attachment[]>;
  /** The link that a mail brings, made now; null where none is wanted any more, and the mail with it. */
  linkOf: LinkOf;
  log: Log;
}

/** Attempts at one mail, over a bit more than a day; then it is given up. */
const attemptsMax = 12;

/** Failures after which a run ends: the relay is away, and trying every mail would only use up their attempts. */
const failuresMax = 5;

/** Milliseconds of a run for finding whom each kind of mail concerns: mail that waits has the rest. */
const queueMsMax = 5_000;

/** Milliseconds after which a run takes no more mail: the next run, a minute later, goes on. */
const runMsMax = 45_000;

/** A mail goes out at least once: whoever ends between the relay's yes and our note sends it again, with the same id. */
export function createNotify({ open, mailer, attachmentsOf, linkOf, log }: Deps): () => Promise<NotifyAnswer> {
  const exclusively = createSingleFlight(open, "notify");

  async function send(mail: DueMail): Promise<"sent" | "failed" | "dropped"> {
    try {
      const link = await linkOf(mail);
      if (link === null) return "dropped";
      const attachments = await attachmentsOf(mail);
      await mailer.send({ to: mail.email, id: mail.id, attachments, ...templates[mail.template]({ ...mail, link }) });
      return "sent";
    } catch {
      return "failed";
    }
  }

  /** What fails here is said, and holds up neither the other mails nor, a minute later, the next try. */
  async function queueDue(connection: Sql): Promise<void> {
    for (const queueSome of [queueLowBalanceMail, queueStatementMail, queueRetirementMail]) {
      const deadline = performance.now() + queueMsMax;
      try {
        while (performance.now() < deadline && (await queueSome(connection)));
      } catch (thrown) {
        log({ at: "handler_failed", kind: "database", sqlState: sqlState(thrown) });
      }
    }
  }

  async function run(connection: Sql): Promise<NotifyAnswer> {
    const deadline = performance.now() + runMsMax;
    await queueDue(connection);
    let sent = 0;
    let failed = 0;
    try {
      while (performance.now() < deadline && failed < failuresMax) {
        const mail = await takeMail(connection);
        if (!mail) break;
        const outcome = await send(mail);
        if (outcome === "sent") sent += 1;
        if (outcome === "failed") failed += 1;
        if (outcome !== "failed" || mail.attempts >= attemptsMax) await finishMail(connection, mail.id);
      }
    } finally {
      if (sent > 0) log({ at: "mail_sent", messages: sent });
      if (failed > 0) log({ at: "mail_failed", messages: failed });
    }
    return { sent, failed };
  }

  return async function notify() {
    try {
      return (await exclusively(run)) ?? { sent: 0, failed: 0 };
    } catch (thrown) {
      log({ at: "handler_failed", kind: "database", sqlState: sqlState(thrown) });
      throw new EpithreError("unavailable", "Cannot send mail now: the database does not answer; the next run does", { retryAfterS: 60 });
    }
  };
}
