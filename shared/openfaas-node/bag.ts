/** Things that are open now, in no order. Going through them goes through those that it began with. */
export interface Bag<T> extends Iterable<T> {
  /** Answers how to take it out again, once. */
  add(item: T): () => void;
  readonly size: number;
}

/**
 * A Set would do, but for the collector: it is copied to a new table every few changes, each old table leads to the
 * next, and from one that has grown old all later ones are kept, with all that was in them, until a full collection.
 * With 16 things of 10 KB at a time, after 128 at a time, 396 MB of 410 outlived a scavenge; in this bag 4 MB of 730.
 */
export function createBag<T>(): Bag<T> {
  const entries: { item: T; at: number }[] = [];
  return {
    add(item) {
      const entry = { item, at: entries.length };
      entries.push(entry);
      return function takeOut() {
        const last = entries.pop()!;
        if (last === entry) return;
        last.at = entry.at;
        entries[entry.at] = last;
      };
    },
    get size() {
      return entries.length;
    },
    [Symbol.iterator]: () => entries.map(({ item }) => item)[Symbol.iterator](),
  };
}
