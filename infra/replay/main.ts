/** `npm run replay`: proves every charge of the usage events that there are. */
import { parseArgs } from "node:util";
import { dataDirDefault, databaseUrlOfStack } from "#infra/local/running-stack.ts";
import { connect } from "#shared/db.ts";
import { formatRupiah } from "#shared/money.ts";
import { isProven, reasons, replay, type Reason, type Report } from "./replay.ts";

const help = `Computes every charge again, from its price version and its quantities, and compares.

  npm run replay -- [options]

  --database URL  Postgres; the login needs to read usage_events, prices and operator_losses
  --data DIR      or the folder of a local stack that runs (.epithre in the repository)
  --json          print the report as one line of JSON
  --help          show this

Ends with 0 when each charge is proven, 1 when one is not, 2 when it could not look.
`;

/** Milliseconds for one page: purge never waits longer for us. */
const statementTimeoutMs = 1_000;

/** What each reason says of an event. */
const words: Record<Reason, string> = {
  above_price: "charged more than the price",
  below_price: "charged less than the price, and no operator's loss says why",
  unknown_price: "names a price that there is not",
  price_of_another_model: "names the price of another model",
  price_not_in_force: "names a price that was not in force",
};

function readOptions(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        database: { type: "string" },
        data: { type: "string", default: dataDirDefault },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch {
    throw new Error("Cannot replay: an option is unknown or lacks its value; npm run replay -- --help shows them");
  }
}

async function report(url: string): Promise<Report> {
  const sql = connect({ url, connections: 1, statementTimeoutMs });
  try {
    return await replay(sql);
  } catch {
    throw new Error("Cannot replay: the database does not answer, refuses this login, or lacks the tables of Epithre");
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function textOf(found: Report): string {
  const lines = [
    `${found.checked} charges computed again`,
    `${found.exact} are exactly their price`,
    `${found.operatorLoss.events} are below it by an operator's loss, ${formatRupiah(found.operatorLoss.micro)} rupiah together`,
    ...reasons
      .filter((reason) => found.unexplained[reason] > 0)
      .map((reason) => `${found.unexplained[reason]} NOT PROVEN: ${words[reason]}\n    ${found.examples[reason].join("\n    ")}`),
    isProven(found) ? "Every charge is proven." : "Not every charge is proven.",
  ];
  return `${lines.join("\n")}\n`;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(help);
    return 0;
  }
  const found = await report(options.database ?? databaseUrlOfStack(options.data, "replay"));
  process.stdout.write(options.json ? `${JSON.stringify(found)}\n` : textOf(found));
  return isProven(found) ? 0 : 1;
}

main().then(
  (code) => (process.exitCode = code),
  (thrown: unknown) => {
    process.stderr.write(`${thrown instanceof Error && thrown.message.startsWith("Cannot ") ? thrown.message : "Cannot replay: an unexpected fault"}\n`);
    process.exitCode = 2;
  },
);
