/** Takes every mail of the stack and keeps it as a file, for a person to open or a test to read. Sends nothing on. */
import { createWriteStream } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { SMTPServer } from "smtp-server";

export interface SmtpSink {
  port: number;
  close(): Promise<void>;
}

/** Bytes. An invoice with its attachment fits. */
const messageBytesMax = 10 * 1024 * 1024;

/** Milliseconds that sessions may take to end before they are cut. */
const closeTimeoutMs = 1_000;

/** Listens on loopback; a message is at `<folder>/<time>-<number>.eml`, whole, before the sender is told so. */
export async function startSmtpSink(folder: string): Promise<SmtpSink> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  let received = 0;
  const server = new SMTPServer({
    disabledCommands: ["AUTH", "STARTTLS"],
    size: messageBytesMax,
    closeTimeout: closeTimeoutMs,
    onData(stream, _session, done) {
      received += 1;
      const name = `${new Date().toISOString().replaceAll(":", "-")}-${String(received).padStart(4, "0")}.eml`;
      const unfinished = join(folder, `.${name}`);
      pipeline(stream, createWriteStream(unfinished, { mode: 0o600 }))
        .then(() => rename(unfinished, join(folder, name)))
        .then(() => done(), done);
    },
  });
  // A sender that breaks off is the sender's business.
  server.on("error", () => {});
  await new Promise<void>((settle, fail) => {
    server.server.once("error", fail);
    server.listen(0, "127.0.0.1", settle);
  });
  return {
    port: (server.server.address() as { port: number }).port,
    close: () => new Promise((settle) => server.close(() => settle())),
  };
}
