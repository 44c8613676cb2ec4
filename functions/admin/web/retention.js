/** Evidence: what operators state of what software cannot see; what purge did, by which limits. */
import { ask } from "./api.js";
import { action, badge, el, heading, mono, note, section, table } from "./dom.js";
import { time, words } from "./format.js";

const tones = { finished: "good", running: "warn", interrupted: "warn", refused: "bad" };

export async function retentionPage(reload) {
  const [{ runs }, { promises }] = await Promise.all([ask("/purge/runs"), ask("/attestations")]);
  const isRefused = runs.some(({ state, confirmedAt }) => state === "refused" && !confirmedAt);
  return [
    heading("Evidence"),
    statements(promises, reload),
    el("h2", {}, "Retention"),
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

function statements(promises, reload) {
  const state = (path, promise, said) => async () => {
    await ask(path, { promise });
    await reload();
    return said;
  };
  return section(
    "Statements",
    note("The public policy page shows these in red until somebody states them. State only what you have looked at yourself, in this role; your name stands in the audit log, not on the page."),
    table(
      "Statements of operators",
      ["Promise", "In the role of", "Stated (UTC)", "Ends (UTC)", "Actions"],
      promises.map(({ id, sentence, role, validDays, statedAt, expiresAt, isOfThisSentence }) => {
        const counts = expiresAt !== null && new Date(expiresAt) > new Date() && isOfThisSentence;
        return [
          el("span", {}, sentence, " ", mono(id)),
          role,
          el("span", {}, statedAt ? `${time(statedAt)} ` : "", badge(counts ? "counts" : statedAt === null ? "missing" : isOfThisSentence ? "ended" : "of another wording", counts ? "good" : "bad")),
          expiresAt && time(expiresAt),
          el("span", {},
            action("State that it is so", state("/attestations/state", id, "Stated"), { danger: `“${sentence}” You state this as the ${role}, for ${validDays} days, in public.` }),
            counts ? action("Withdraw", state("/attestations/withdraw", id, "Withdrawn"), { danger: "The public page turns red for this promise." }) : null,
          ),
        ];
      }),
      "No promise is attested.",
    ),
  );
}
