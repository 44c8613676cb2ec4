/** One's own API keys: made, changed, rotated and revoked with a session, never with a key. Another account's is not there (404). */
import { EpithreError } from "#shared/errors.ts";
import { uuidv7TimeMs } from "#shared/ids.ts";
import { generateKey, hashKey, keyPrefix } from "#shared/keys.ts";
import { formatRupiah } from "#shared/money.ts";
import type { PublicCall, PublicRoute } from "#shared/public.ts";
import { type Parts, readBody } from "./parts.ts";
import { changeKey, createKey, type Key, type KeyRoom, keyUse, listKeys, revokeKey, rotateKey } from "./queries.ts";
import { refuseWith, type Refusals } from "./refusals.ts";
import { ChangeKey, CreateKey, KeyId, RotateKey } from "./schema.ts";

/** Keys of an account that work, and altogether: expired ones, and revoked ones for 90 days. */
const room: KeyRoom = { liveMax: 50, allMax: 500 };

/** Calls of the account among which the last one of each key is looked for: reading them takes some milliseconds. */
const callsLookedAt = 10_000;

const noKey = "the account has no key of this id; see GET /v1/account/keys";

const roomRefusals: Refusals = {
  EP404: ["not_found", "Cannot make key: no model has one of these names; see GET /v1/models"],
  EP409: ["account_suspended", "Cannot make key: the account is suspended. Write to hello@epithre.com."],
  EP429: [
    "conflict",
    `Cannot make key: the account has ${room.liveMax} that work, or ${room.allMax} altogether. Revoke some; revoked ones are forgotten after 90 days.`,
  ],
};

export function keyRoutes({ database, sessionOf, throttles }: Parts): PublicRoute[] {
  const callerOf = ({ request }: PublicCall) => sessionOf(request.headers.get("authorization"));

  async function shownKeys(accountId: string): Promise<{ data: object[]; used_since: string | null }> {
    const keys = await database.run((sql) => listKeys(sql, accountId));
    const use = await database.run((sql) => keyUse(sql, accountId, callsLookedAt));
    const lastCalls = new Map(use.map(({ keyId, lastCall }) => [keyId, timeOf(lastCall)]));
    const oldest = use[0]?.oldest;
    return { data: keys.map((key) => keyObject(key, lastCalls.get(key.id))), used_since: oldest ? timeOf(oldest) : null };
  }

  async function shownKey(accountId: string, keyId: string, more = {}): Promise<object> {
    const key = (await database.run((sql) => listKeys(sql, accountId))).find(({ id }) => id === keyId);
    if (!key) throw new EpithreError("not_found", `Cannot find key: ${noKey}`);
    return { ...keyObject(key), ...more };
  }

  /** Of a key that is the caller's own, or of none. */
  function idOf({ id }: PublicCall, task: string): string {
    const parsed = KeyId.safeParse(id);
    if (parsed.success) return parsed.data;
    throw new EpithreError("not_found", `Cannot ${task}: ${noKey}`);
  }

  function newKey() {
    const key = generateKey();
    return { key, stored: { hash: hashKey(key), prefix: keyPrefix(key) } };
  }

  return [
    {
      method: "GET",
      path: "/v1/account/keys",
      answer: async (call) => Response.json({ object: "list", ...(await shownKeys(await callerOf(call))) }),
    },
    {
      method: "POST",
      path: "/v1/account/keys",
      async answer(call) {
        const accountId = await callerOf(call);
        const asked = await readBody(call.request, CreateKey);
        throttles.take({ keyChangeOfAccount: accountId });
        const { key, stored } = newKey();
        const id = await database.run((sql) => createKey(sql, accountId, asked, stored, room)).catch(refuseWith(roomRefusals));
        return Response.json(await shownKey(accountId, id, { key }), { status: 201 });
      },
    },
    {
      method: "PATCH",
      path: "/v1/account/keys/{id}",
      async answer(call) {
        const accountId = await callerOf(call);
        const id = idOf(call, "change key");
        const changes = await readBody(call.request, ChangeKey);
        await database.run((sql) => changeKey(sql, accountId, id, changes)).catch(
          refuseWith({
            EP404: ["not_found", "Cannot change key: the account has no key of this id, or no model has one of these names"],
            EP409: ["conflict", "Cannot change key: it is revoked"],
          }),
        );
        return Response.json(await shownKey(accountId, id));
      },
    },
    {
      method: "POST",
      path: "/v1/account/keys/{id}/rotate",
      async answer(call) {
        const accountId = await callerOf(call);
        const oldId = idOf(call, "rotate key");
        const { overlap_hours: overlapHours } = await readBody(call.request, RotateKey);
        throttles.take({ keyChangeOfAccount: accountId });
        const { key, stored } = newKey();
        const id = await database.run((sql) => rotateKey(sql, accountId, oldId, stored, overlapHours, room)).catch(
          refuseWith({
            ...roomRefusals,
            EP404: ["not_found", `Cannot rotate key: ${noKey}`],
            EP410: ["conflict", "Cannot rotate key: it is revoked or expired; make a new one"],
          }),
        );
        return Response.json(await shownKey(accountId, id, { key, rotated: oldId }), { status: 201 });
      },
    },
    {
      method: "DELETE",
      path: "/v1/account/keys/{id}",
      async answer(call) {
        const accountId = await callerOf(call);
        const id = idOf(call, "revoke key");
        await database.run((sql) => revokeKey(sql, accountId, id)).catch(
          refuseWith({ EP404: ["not_found", `Cannot revoke key: ${noKey}`] }),
        );
        return Response.json(await shownKey(accountId, id));
      },
    },
  ];
}

const timeOf = (id: string) => new Date(uuidv7TimeMs(id)).toISOString();

/** As GET /v1/account/keys shows it. `last_used_at` is null where none of the calls that were looked at had this key. */
function keyObject(key: Key, lastUsedAt?: string) {
  return {
    object: "api_key",
    id: key.id,
    prefix: key.prefix,
    name: key.name,
    status: statusOf(key, Date.now()),
    scopes: key.scopes,
    models: key.models,
    expires_at: key.expiresAt,
    requests_per_minute: key.requestsPerMinute,
    tokens_per_minute: key.tokensPerMinute,
    monthly_budget_rupiah: key.monthlyBudgetMicro === null ? null : formatRupiah(key.monthlyBudgetMicro),
    created_at: timeOf(key.id),
    revoked_at: key.revokedAt,
    last_used_at: lastUsedAt ?? null,
  };
}

function statusOf({ revokedAt, expiresAt }: Key, nowMs: number): "active" | "expired" | "revoked" {
  if (revokedAt) return "revoked";
  return expiresAt && expiresAt.getTime() <= nowMs ? "expired" : "active";
}
