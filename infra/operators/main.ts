/** `npm run operator`: the first operator at installation, recovery at the machine, and sessions for programs. */
import { parseArgs } from "node:util";
import { dataDirDefault, databaseUrlOfStack } from "#infra/local/running-stack.ts";
import { invite, inviteHours, openSession, withDatabase } from "./operators.ts";

const help = `Lets somebody sign in at the operators' console, or a program act without one.

  npm run operator -- invite NAME    a new operator: prints a link that enrols a passkey, once
  npm run operator -- recover NAME   the same for one who has lost theirs: former passkeys and sessions end with it
  npm run operator -- session NAME   a token for a program, which has no passkey

  --database URL  Postgres, as the owner of Epithre's tables or as superuser
  --data DIR      or the folder of a local stack that runs (.epithre in the repository)
  --console URL   where operators open the console: admin's setting console_url
  --days N        of a session (1), 90 at most
  --help          show this
`;

const consoleUrlDefault = "http://localhost:8080/function/admin/console/";
const daysMax = 90;

function readOptions(args: string[]) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        database: { type: "string" },
        data: { type: "string", default: dataDirDefault },
        console: { type: "string", default: consoleUrlDefault },
        days: { type: "string", default: "1" },
        help: { type: "boolean", default: false },
      },
    });
    const [command, name, more] = positionals;
    return { ...values, command, name, more };
  } catch {
    throw wrong();
  }
}

const wrong = () => new Error("Cannot do that: give invite, recover or session and a name; npm run operator -- --help shows more");

async function main(): Promise<string> {
  const { help: wantsHelp, command, name, more, ...options } = readOptions(process.argv.slice(2));
  if (wantsHelp) return help;
  if (!name || more !== undefined || !["invite", "recover", "session"].includes(command ?? "")) throw wrong();
  const days = Number(options.days);
  if (!Number.isInteger(days) || days < 1 || days > daysMax) throw new Error(`Cannot open session: --days takes a number from 1 to ${daysMax}`);
  const url = options.database ?? databaseUrlOfStack(options.data, "reach the database");
  if (command === "session") return `${await withDatabase(url, (sql) => openSession(sql, name, days))}\n`;
  const word = await withDatabase(url, (sql) => invite(sql, name, command === "recover"));
  return `Open within ${inviteHours} hours, once, on the device that has the passkey:\n\n  ${options.console}#invite=${word}\n`;
}

main().then(
  (text) => void process.stdout.write(text),
  (thrown: unknown) => {
    const isOurs = thrown instanceof Error && thrown.message.startsWith("Cannot ");
    process.stderr.write(`${isOurs ? thrown.message : "Cannot reach the database: it does not answer, refuses this login, or lacks the tables of Epithre"}\n`);
    process.exitCode = 1;
  },
);
