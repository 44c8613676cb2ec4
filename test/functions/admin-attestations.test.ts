import { afterAll, beforeAll, expect, test } from "vitest";
import { policy, type PromiseId } from "#shared/policy.ts";
import { startAdmin } from "../support/operators.ts";
import { createPolicy, type PolicyFunction } from "../support/policy.ts";

let admin: Awaited<ReturnType<typeof startAdmin>>;
let page: PolicyFunction;

beforeAll(async () => {
  admin = await startAdmin();
  page = createPolicy(admin.db);
});
afterAll(async () => {
  await page.close();
  await admin.close();
});

const attested = policy.flatMap(({ id, proof }) => (proof.kind === "attested" ? [[id, proof] as const] : []));

const audited = async () =>
  (await admin.db.sql<{ action: string; actor: string; named: boolean; statement: string | null }[]>`
    select l.action, l.actor, l.operator_id is not null as named, t.promise as statement
    from audit_log l left join attestations t on t.id = l.object_id where l.action in ('promise_attested', 'attestation_withdrawn') order by l.id
  `).map((row) => ({ ...row }));

test.each(attested)("admin() takes the statement of %s for as long as the policy says, with its audit row, and takes it back (place.jakarta, pay.alpha)", async (promise, { role, validDays }) => {
  const before = (await audited()).length;
  expect(await page.red(promise)).toEqual(["attestation_missing"]);
  expect((await admin.post("/attestations/state", { promise })).status).toBe(200);
  expect(await page.red(promise)).toEqual([]);
  const { promises } = (await admin.post("/attestations")).body as { promises: { id: PromiseId; role: string; statedAt: string; expiresAt: string; isOfThisSentence: boolean }[] };
  const one = promises.find(({ id }) => id === promise)!;
  expect(one).toMatchObject({ role, isOfThisSentence: true });
  expect(Date.parse(one.expiresAt) - Date.parse(one.statedAt)).toBe(validDays * 86_400_000);

  expect((await admin.post("/attestations/withdraw", { promise })).status).toBe(200);
  expect(await page.red(promise)).toEqual(["attestation_expired"]);
  const again = await admin.post("/attestations/withdraw", { promise });
  expect({ status: again.status, message: again.body.error.message }).toEqual({ status: 404, message: "Cannot withdraw statement: there is none that counts" });
  expect((await audited()).slice(before)).toEqual(
    ["promise_attested", "attestation_withdrawn"].map((action) => ({ action, actor: "operator", named: true, statement: promise })),
  );
});

test("admin() takes no statement of what is measured, nor one for longer than any holds", async () => {
  const refused = await admin.post("/attestations/state", { promise: "keep.usage" });
  expect(refused.status).toBe(400);
  expect(refused.body.error.message).toContain("must be one of place.jakarta, pay.alpha, right.*");
  await expect(admin.db.sql`select admin_attest('pay.alpha', ${Buffer.alloc(31)}, 1)`).rejects.toMatchObject({ code: "23514" });
  await expect(admin.db.sql`select admin_attest('pay.alpha', sha256('x'), 400)`).rejects.toMatchObject({ code: "EP409" });
});
