/** Days to ranges of ids: a usage event's time is its id's, so a range of time is a range of the primary key. */
import { uuidv7TimeMs } from "#shared/ids.ts";

/** Milliseconds. */
const dayMs = 86_400_000;

/** Milliseconds. The last moment that a UUIDv7 has room for. */
const idTimeMsMax = 2 ** 48 - 1;

/** The ids of an export: after the one, up to and with the other. */
export interface IdRange {
  afterId: string;
  lastId: string;
}

interface Asked {
  from?: string | undefined;
  to?: string | undefined;
  cursor?: string | undefined;
  through?: string | undefined;
}

/** Both days count; without them everything there is. A cursor goes on after the record that it names, `through` ends with it. */
export function idRange({ from, to, cursor, through }: Asked): IdRange {
  const firstId = from === undefined ? idFloor(0) : idFloor(Date.parse(from));
  const endId = to === undefined ? highestId : idFloor(Date.parse(to) + dayMs);
  return {
    afterId: cursor !== undefined && cursor > firstId ? cursor : firstId,
    lastId: through !== undefined && through < endId ? through : endId,
  };
}

/** The id that ends the day after an event; undefined where the id is none of an event's. */
export function dayAfter(id: string): string | undefined {
  const timeMs = uuidv7TimeMs(id);
  return Number.isNaN(timeMs) ? undefined : idFloor(timeMs + dayMs);
}

/** The id that begins the day before an id's time, or before now where that is earlier. */
export function dayBefore(id: string, nowMs: number): string {
  const timeMs = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  return idFloor(Math.min(timeMs, nowMs) - dayMs);
}

const highestId = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/** Smaller than every UUIDv7 of this time or later, larger than all before; none itself. */
function idFloor(timeMs: number): string {
  const time = Math.min(Math.max(0, timeMs), idTimeMsMax).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`;
}
