import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AccountsService, type Someone, startAccounts, tokenIn } from "../../support/accounts-service.ts";

let service: AccountsService;
let someone: Someone;
beforeAll(async () => {
  service = await startAccounts();
});
afterAll(() => service.close());
beforeEach(async () => {
  service.nextHour();
  someone = await service.newPerson();
});

const newEmail = () => `${randomUUID()}@example.com`;
const change = (body: object, { session }: { session: string } = someone) => service.ask("/v1/account", { method: "PATCH", body, session });
const shown = async ({ session }: { session: string } = someone) => (await service.ask("/v1/account", { session })).body;
const codeOf = ({ status, body }: { status: number; body: any }) => [status, body.error?.code];

describe("PATCH /v1/account", () => {
  test("corrects the name at once, or takes it away (right.correct)", async () => {
    expect((await change({ name: " Grace " })).body.name).toBe("Grace");
    expect((await shown()).name).toBe("Grace");
    expect((await change({ name: null })).body.name).toBeNull();
    expect((await change({})).body.name).toBeNull();
  });

  test("corrects the address once the new one is confirmed, and tells the present one first (right.correct, use.account)", async () => {
    const email = newEmail();
    expect((await change({ email, password: someone.password })).body).toMatchObject({ email: someone.email, new_email: email });
    const mails = await service.mail();
    expect(mails.map(({ to }) => to)).toEqual([someone.email, email]);
    expect(mails[0]!.text).not.toContain(email);
    expect(await shown()).toMatchObject({ email: someone.email });
    const token = tokenIn(mails[1], "change_email")!;
    expect((await service.post("/v1/account/email/confirm", { token })).status).toBe(200);
    expect(await shown()).toMatchObject({ email, email_verified: true, new_email: null });
    expect(codeOf(await service.post("/v1/account/email/confirm", { token }))).toEqual([400, "invalid_token"]);
    expect((await service.post("/v1/account/login", { email, password: someone.password })).status).toBe(200);
    expect((await service.post("/v1/account/login", { email: someone.email, password: someone.password })).status).toBe(401);
  });

  test("asks for the password before it touches the address: a session alone is not enough", async () => {
    const email = newEmail();
    expect((await change({ email })).body.error.param).toBe("password");
    expect(codeOf(await change({ email, password: "not the password" }))).toEqual([401, "invalid_credentials"]);
    expect(await shown()).toMatchObject({ new_email: null });
    expect(await service.mail()).toEqual([]);
  });

  test("throttles guesses at the password by whoever has a session", async () => {
    const statuses = [];
    for (let guess = 0; guess < 11; guess += 1) statuses.push((await change({ email: newEmail(), password: "not the password" })).status);
    expect(statuses).toEqual([...Array(10).fill(401), 429]);
    expect((await change({ name: "still here" })).status).toBe(200);
  });

  test("shows no difference for an address that another account has, and tells its owner", async () => {
    const other = await service.newPerson();
    const [taken, free] = [await change({ email: other.email.toUpperCase(), password: someone.password }), newEmail()];
    const mails = await service.mail();
    expect(mails.map(({ to }) => to).sort()).toEqual([someone.email, other.email].sort());
    expect(mails.find(({ to }) => to === other.email)!.text).not.toMatch(/#change_email|#verify/);
    const untaken = await change({ email: free, password: someone.password });
    expect([taken.status, { ...taken.body, new_email: free }]).toEqual([untaken.status, untaken.body]);
  });

  test("gives an address to one of two accounts that ask for it", async () => {
    const [other, email] = [await service.newPerson(), newEmail()];
    await change({ email, password: someone.password });
    await change({ email, password: other.password }, other);
    const mails = (await service.mail()).filter(({ to }) => to === email).map((mail) => tokenIn(mail, "change_email")!);
    expect(mails).toHaveLength(2);
    const outcomes = await Promise.all(mails.map((token) => service.post("/v1/account/email/confirm", { token })));
    expect(outcomes.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(await service.db.sql`select from persons where email = ${email}`).toHaveLength(1);
  });

  test("forgets a change that its owner did not ask for, once the password is reset by mail", async () => {
    const email = newEmail();
    await change({ email, password: someone.password });
    const strangers = tokenIn((await service.mail()).find(({ to }) => to === email), "change_email")!;
    await service.post("/v1/account/password/reset-request", { email: someone.email });
    const token = await service.tokenTo(someone.email, "reset_password");
    const { body } = await service.post("/v1/account/password/reset", { token, password: "the owner's password" });
    expect(codeOf(await service.post("/v1/account/email/confirm", { token: strangers }))).toEqual([400, "invalid_token"]);
    expect(await shown({ session: body.token })).toMatchObject({ email: someone.email, new_email: null });
  });

  test("leaves links that the former address got without use", async () => {
    const email = newEmail();
    await service.post("/v1/account/password/reset-request", { email: someone.email });
    const former = await service.tokenTo(someone.email, "reset_password");
    await change({ email, password: someone.password });
    const token = await service.tokenTo(email, "change_email");
    // A link for one purpose is none for another.
    expect(codeOf(await service.post("/v1/account/email/confirm", { token: former }))).toEqual([400, "invalid_token"]);
    expect((await service.post("/v1/account/email/confirm", { token })).status).toBe(200);
    expect(codeOf(await service.post("/v1/account/password/reset", { token: former, password: "another password" }))).toEqual([400, "invalid_token"]);
  });
});
