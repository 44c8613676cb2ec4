/** What the benchmarks print alike: goals, each with its bound, at the end and as the last line of `--json`. */

export interface Goal {
  name: string;
  value: number;
  /** The bound: the least value, the most, or the one to stay below, as the name says. */
  goal: number;
  holds: boolean;
}

export interface Outcome {
  goals: Goal[];
  /** Why the comparison does not count, such as a machine that was busy with other things. */
  voids: string[];
  /** What the product did wrong; counts as a reason too. */
  wrong: string[];
  samples: object[];
}

export const median = (values: number[]) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)]!;

/** Prints for people; with `--json`, nothing. */
export const createSay = (isJson: boolean | undefined) => (text: string) => {
  if (!isJson) console.log(text);
};

export const goalLine = ({ name, value, goal, holds }: Goal, digits: number) =>
  `${holds ? "holds " : "MISSED"} ${name}: ${value.toFixed(digits)} (goal: ${goal})`;

/** Ends a comparison. One that does not count has no goal that holds, and only what is wrong fails the run. */
export function reportOutcome({ goals, voids, wrong, samples }: Outcome, isJson: boolean | undefined): void {
  const say = createSay(isJson);
  const reasons = [...voids, ...wrong];
  if (reasons.length > 0) for (const goal of goals) goal.holds = false;
  for (const goal of goals) say(goalLine(goal, 3));
  for (const reason of reasons) say(`VOID: ${reason}`);
  if (isJson) console.log(`${JSON.stringify({ void: reasons, samples })}\n${JSON.stringify({ goals })}`);
  process.exitCode = wrong.length > 0 ? 1 : 0;
}
