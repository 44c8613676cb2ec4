/** Sends the mail that is due. */
import type { DatabasePool } from "#shared/db-pool.ts";
import type { Log } from "#shared/log.ts";
import type { Mailer } from "#shared/mail.ts";
import { type DueMail, finishMail, takeMail } from "./queries.ts";
import type { NotifyAnswer } from "./schema.ts";
import { templates } from "./templates.ts";

export interface Deps {
  database: DatabasePool;
  mailer: Mailer;
  log: Log;
}

/** Attempts at one mail, over a bit more than a day; then it is given up. */
const attemptsMax = 12;

/** Failures after which a run ends: the relay is away, and trying every mail would only use up their attempts. */
const failuresMax = 5;

/** Milliseconds after which a run takes no more mail: the next run, a minute later, goes on. */
const runMsMax = 45_000;

/** A mail goes out at least once: whoever ends between the relay's yes and our note sends it again, with the same id. */
export function createNotify({ database, mailer, log }: Deps): () => Promise<NotifyAnswer> {
  const finish = ({ id }: DueMail) => database.run((sql) => finishMail(sql, id));

  async function send(mail: DueMail): Promise<boolean> {
    try {
      await mailer.send({ to: mail.email, id: mail.id, ...templates[mail.template] });
    } catch {
      if (mail.attempts >= attemptsMax) await finish(mail);
      return false;
    }
    await finish(mail);
    return true;
  }

  return async function notify() {
    const deadline = performance.now() + runMsMax;
    let sent = 0;
    let failed = 0;
    while (performance.now() < deadline && failed < failuresMax) {
      const mail = await database.run(takeMail);
      if (!mail) break;
      if (await send(mail)) sent += 1;
      else failed += 1;
    }
    if (sent > 0) log({ at: "mail_sent", messages: sent });
    if (failed > 0) log({ at: "mail_failed", messages: failed });
    return { sent, failed };
  };
}
