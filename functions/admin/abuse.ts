/** What counts as a sign of abuse, as data. Each is read from usage events alone (use.usage); people decide what follows. */
export const abuseThresholds = {
  /** Minutes that are looked at: few enough to be counted at once (about 0.4 s for 100,000 calls). */
  minutes: 15,
  /** Calls below which shares say nothing. */
  callsMin: 50,
  /** Of an account's calls: refused by an engine for what was in them. */
  errorShare: 0.5,
  /** Of an account's calls: left by their caller before the end; those before the answer cost nothing. */
  leftShare: 0.5,
  /** Of a key's requests a minute: from here on the minute counts as one at the limit. */
  limitShare: 0.9,
  /** How many such minutes. */
  limitedMinutesMin: 10,
} as const;

/** The words for each signal. */
export const abuseSignals = {
  errors: "calls refused for what was in them",
  left: "calls left by their caller",
  rate_limit: "minutes at a key's rate limit",
} as const;
