/** The evidence of retention: what purge did, by which limits. */
import { ask } from "./api.js";
import { action, badge, el, heading, note, section, table } from "./dom.js";
import { time, words } from "./format.js";

const tones = { finished: "good", running: "warn", interrupted: "warn", refused: "bad" };

export async function retentionPage(reload) {
  const { runs } = await ask("/purge/runs");
  const isRefused = runs.some(({ state, confirmedAt }) => state === "refused" && !confirmedAt);
  return [
    heading("Retention"),
    note("Purge runs every hour, and deletes what is past its limit by the database's clock."),
    ...(isRefused
      ? [section(
          "Purge has refused to delete",
          note("More than 48 hours have passed since its last run. Look at the database's clock: if it is right, let purge go on."),
          action("The clock is right: go on", async () => {
            await ask("/purge/confirm");
            await reload();
            return "Confirmed";
          }, { danger: "From the next run on, all that is due by this clock is deleted for good." }),
        )]
      : []),
    table(
      "Runs of purge",
      ["Began (UTC)", "State", "Done", { title: "Steps left", number: true }, { title: "Earlier for backups", number: true }],
      runs.map(({ startedAt, state, confirmedAt, steps, stepsLeft, earlyDays }) => [
        time(startedAt),
        el("span", {}, badge(state, tones[state]), confirmedAt ? ` confirmed ${time(confirmedAt)}` : ""),
        steps.filter(({ done }) => done > 0).map(({ step, done, liveDays }) => `${words(step)}: ${done.toLocaleString("en")}${liveDays === null ? "" : ` past ${liveDays} days`}`).join("; ") || (state === "finished" ? "nothing was due" : null),
        stepsLeft, `${earlyDays} days`,
      ]),
      "Purge has not run yet.",
    ),
  ];
}
