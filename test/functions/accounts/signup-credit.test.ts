import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AccountsService, startAccounts } from "../../support/accounts-service.ts";

let service: AccountsService;
beforeAll(async () => {
  service = await startAccounts({ signupCreditMicro: 7_000_000n });
});
afterAll(() => service.close());

const creditOf = (accountId: string) => service.db.sql<{ kind: string; amount: number }[]>`
  select kind, amount_micro::int as amount from billing_events where account_id = ${accountId}
`;

test("an account gets its signup credit once its address is verified, and only then (keep.billing)", async () => {
  const someone = await service.newPerson();
  expect([...(await creditOf(someone.accountId))]).toEqual([{ kind: "signup_credit", amount: 7_000_000 }]);
  await service.post("/v1/account/password/reset-request", { email: someone.email });
  const token = await service.tokenTo(someone.email, "reset_password");
  expect((await service.post("/v1/account/password/reset", { token, password: "another password" })).status).toBe(200);
  expect(await creditOf(someone.accountId)).toHaveLength(1);

  const email = `${randomUUID()}@example.com`;
  await service.post("/v1/account/signup", { email, password: "password of a signup" });
  const [unverified] = await service.db.sql<{ id: string }[]>`select account_id as id from persons where email = ${email}`;
  expect(await creditOf(unverified!.id)).toHaveLength(0);
});
