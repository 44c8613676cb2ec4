/** The last lines that a process printed, in memory only: what `faas-cli logs` shows. */

export interface LogEntry {
  timeMs: number;
  /** Which run of the process printed it: `proxy-4711`. */
  instance: string;
  text: string;
}

/** Lines kept of one process: hours of a quiet function, and at most 8 MB of a babbling one. */
const entriesMax = 1_000;

/** Characters kept of one line. */
const lineLengthMax = 8_192;

export interface LogRing {
  push(entry: LogEntry): void;
  entries(): readonly LogEntry[];
  /** Calls `listener` with each further entry until the answer is called. */
  follow(listener: (entry: LogEntry) => void): () => void;
}

export function createLogRing(): LogRing {
  const kept: LogEntry[] = [];
  const listeners = new Set<(entry: LogEntry) => void>();
  return {
    push(entry) {
      kept.push(entry);
      if (kept.length > entriesMax) kept.shift();
      for (const listener of listeners) listener(entry);
    },
    entries: () => kept,
    follow(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Calls `take` with each whole line of what `stream` carries; a line that never ends is cut, not gathered. */
export function eachLine(stream: NodeJS.ReadableStream, take: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!.slice(0, lineLengthMax);
    for (const line of lines) if (line !== "") take(line.slice(0, lineLengthMax));
  });
  stream.on("end", () => rest !== "" && take(rest));
}
