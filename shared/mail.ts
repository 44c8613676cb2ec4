/** Mail over SMTP: plain text, with documents where a mail has some. Who gets it and what it says is the caller's; nothing of it is logged. */
import { createTransport } from "nodemailer";

/** Milliseconds to connect and be greeted, and between two answers of the relay. */
const greetingTimeoutMs = 10_000;
const answerTimeoutMs = 20_000;

/** Milliseconds for one mail, however slowly the relay goes on: shorter than any sender waits to try it again. */
const mailTimeoutMs = 40_000;

export interface Mail {
  to: string;
  subject: string;
  text: string;
  attachments?: Attachment[];
  /** The same for each attempt at one mail, so that a mailbox shows a repeated one once. */
  id: string;
}

/** A document made for this mail; it is nowhere but in it. */
export interface Attachment {
  filename: string;
  contentType: string;
  content: Buffer;
}

export interface Mailer {
  /** Settles when the relay has taken the mail; fails when it has not, or has not said so. */
  send(mail: Mail): Promise<void>;
  close(): void;
}

export interface MailerOptions {
  /** `smtps://user:password@host:port`, or `smtp:` which must then offer STARTTLS unless it is on this machine. */
  smtpUrl: string;
  /** Address that mail comes from. */
  from: string;
}

export function createMailer({ smtpUrl, from }: MailerOptions): Mailer {
  const { protocol, hostname, port, username, password } = new URL(smtpUrl);
  const domain = from.slice(from.lastIndexOf("@") + 1);
  const secure = protocol === "smtps:";
  const transport = createTransport({
    // One connection for all mails of a run: they are sent one after the other.
    pool: true,
    maxConnections: 1,
    host: hostname,
    port: port === "" ? (secure ? 465 : 587) : Number(port),
    secure,
    requireTLS: !secure && !isThisMachine(hostname),
    ...(username === "" ? {} : { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    // How we greet; without it the relay would be told the machine's own name.
    name: domain,
    connectionTimeout: greetingTimeoutMs,
    greetingTimeout: greetingTimeoutMs,
    socketTimeout: answerTimeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    async send({ to, subject, text, attachments, id }) {
      await transport.sendMail({
        from,
        to,
        subject,
        text,
        attachments,
        messageId: `<${id}@${domain}>`,
        headers: { "auto-submitted": "auto-generated" },
        xMailer: false,
        signal: AbortSignal.timeout(mailTimeoutMs),
      });
    },
    close: () => transport.close(),
  };
}

function isThisMachine(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
}
