/** Accounts whose usage looks like abuse. What follows is a person's decision, on the account's page. */
import { accountLink, statusBadge } from "./accounts.js";
import { ask } from "./api.js";
import { heading, note, table } from "./dom.js";
import { share } from "./format.js";

export async function abusePage() {
  const { thresholds, signals, accounts } = await ask("/abuse");
  const { minutes, callsMin, errorShare, leftShare, limitShare, limitedMinutesMin } = thresholds;
  const percent = (part) => `${part * 100} %`;
  return [
    heading("Abuse"),
    note(
      `From the usage events of the last ${minutes} minutes, which know no content: accounts of ${callsMin} calls or more of which ${percent(errorShare)} were refused ` +
        `or ${percent(leftShare)} left, and those with a key at ${percent(limitShare)} of its rate limit in ${limitedMinutesMin} minutes. Guessed keys belong to no account: ` +
        "see the 401s in the proxy's metrics.",
    ),
    table(
      "Signs of abuse",
      ["Account", "Status", "Sign", { title: "Counted", number: true }],
      accounts.map(({ accountId, status, signal, counted, of }) => [accountLink(accountId), statusBadge(status), signals[signal], share(counted, of)]),
      "Nothing looks like abuse.",
    ),
  ];
}
