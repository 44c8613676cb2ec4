import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTransport } from "nodemailer";
import { expect, test } from "vitest";
import { startSmtpSink } from "#infra/local/smtp-sink.ts";

test("startSmtpSink() keeps each mail as one file that only its owner can read", async () => {
  const folder = join(mkdtempSync(join(tmpdir(), "epithre-mail-")), "mail");
  const sink = await startSmtpSink(folder);
  const transport = createTransport(`smtp://127.0.0.1:${sink.port}`);
  await Promise.all(
    ["first", "second"].map((subject) => transport.sendMail({ from: "hello@example.com", to: "person@example.org", subject, text: "Hello" })),
  );
  const names = readdirSync(folder);
  expect(names).toHaveLength(2);
  const mails = names.map((name) => readFileSync(join(folder, name), "utf8")).join();
  for (const part of ["Subject: first", "Subject: second", "To: person@example.org"]) expect(mails).toContain(part);
  expect(statSync(join(folder, names[0]!)).mode & 0o777).toBe(0o600);
  await sink.close();
  await expect(transport.sendMail({ from: "a@example.com", to: "b@example.com" })).rejects.toThrow();
  rmSync(folder, { recursive: true });
});
