/** Accounts whose usage looks like abuse, and those that are throttled for it. Suspending one is a person's decision, on its page. */
import { accountLink, statusBadge } from "./accounts.js";
import { ask } from "./api.js";
import { action, badge, heading, note, section, table } from "./dom.js";
import { share, time } from "./format.js";

const percent = (part) => `${part * 100} %`;

export async function abusePage(reload) {
  const { thresholds, signals, accounts, throttling, throttles } = await ask("/abuse");
  const { minutes, callsMin, errorShare, leftShare, limitShare, limitedMinutesMin } = thresholds;
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
    section(
      "Throttled",
      note(throttlingRule(throttling)),
      table(
        "Throttled accounts",
        ["Account", "Sign", { title: "Requests a minute", number: true }, "Since (UTC)", "Until (UTC)", "Change"],
        throttles.map(({ accountId, signal, requestsPerMinute, beganAt, endsAt, lifted }) => [
          accountLink(accountId), signals[signal], requestsPerMinute, time(beganAt), time(endsAt),
          lifted ? badge("lifted") : action("Lift", () => lift(accountId, reload)),
        ]),
        "No account is throttled.",
      ),
    ),
  ];
}

function throttlingRule({ thresholds, requestsPerMinute, minutes }) {
  return (
    `By itself, for ${minutes} minutes, to ${requestsPerMinute} requests a minute of all keys together: accounts of ${thresholds.callsMin} calls or more in ` +
    `${thresholds.minutes} minutes of which ${percent(thresholds.errorShare)} were refused or ${percent(thresholds.leftShare)} left. A lifted throttle keeps another from beginning before its end.`
  );
}

async function lift(accountId, reload) {
  await ask("/abuse/lift", { accountId });
  await reload();
  return "Lifted";
}
