/** What counts as a sign of abuse, and what follows by itself, as data. All is read from usage events alone (use.usage). */
export interface AbuseThresholds {
  /** Minutes that are looked at: few enough to be counted at once (about 0.4 s for 100,000 calls). */
  minutes: number;
  /** Calls below which shares say nothing. */
  callsMin: number;
  /** Of an account's calls: refused by an engine for what was in them. */
  errorShare: number;
  /** Of an account's calls: left by their caller before the end; those before the answer cost nothing. */
  leftShare: number;
  /** Of a key's requests a minute: from here on the minute counts as one at the limit; `null`: that is no sign. */
  limitShare: number | null;
  /** How many such minutes. */
  limitedMinutesMin: number;
}

/** From here on operators see it. */
export const abuseThresholds = {
  minutes: 15,
  callsMin: 50,
  errorShare: 0.5,
  leftShare: 0.5,
  limitShare: 0.9,
  limitedMinutesMin: 10,
} as const satisfies AbuseThresholds;

/**
 * From here on an account is slowed down without anybody's word; suspending one is up to people. Only what no working
 * program does counts: 20 calls a minute of which hardly one comes to its end. A key at its own limit does what its owner
 * allowed it.
 */
export const throttleThresholds = {
  minutes: 15,
  callsMin: 300,
  errorShare: 0.8,
  leftShare: 0.8,
  limitShare: null,
  limitedMinutesMin: 15,
} as const satisfies AbuseThresholds;

/** How slow, and for how long: a person who mends a program can try it, and a loop costs next to nothing. */
export const throttle = {
  /** Of all keys of the account together. */
  requestsPerMinute: 10,
  minutes: 60,
} as const;

/** The words for each signal. */
export const abuseSignals = {
  errors: "calls refused for what was in them",
  left: "calls left by their caller",
  rate_limit: "minutes at a key's rate limit",
} as const;
