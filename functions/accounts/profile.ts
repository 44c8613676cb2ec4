/** One's own account: what it is, correcting it, its password, its sessions. Each route needs a session, or a mailed token. */
import { EpithreError } from "#shared/errors.ts";
import { uuidv7TimeMs } from "#shared/ids.ts";
import type { PublicCall, PublicRoute } from "#shared/public.ts";
import { checkPassword, openSession, type Parts, readBody, tokenHash } from "./parts.ts";
import { askEmail, confirmEmail, endSessions, findProfile, setName, setPassword } from "./queries.ts";
import { refuseWith, tokenRefusal } from "./refusals.ts";
import { ChangeAccount, ChangePassword, Nothing, UseToken } from "./schema.ts";

export function profileRoutes(parts: Parts): PublicRoute[] {
  const { database, passwords, throttles, networkOf, sessionOf, pause } = parts;
  const callerOf = ({ request }: PublicCall) => sessionOf(request.headers.get("authorization"));

  async function shown(accountId: string): Promise<Response> {
    const profile = await database.run((sql) => findProfile(sql, accountId));
    if (!profile) throw new EpithreError("invalid_session", "Cannot find the account: it was closed a moment ago");
    return Response.json({
      object: "account",
      id: accountId,
      email: profile.email,
      email_verified: profile.emailVerifiedAt !== null,
      // Asked for, and not confirmed yet.
      new_email: profile.newEmail,
      name: profile.name,
      status: profile.status,
      created_at: new Date(uuidv7TimeMs(accountId)).toISOString(),
    });
  }

  return [
    {
      method: "GET",
      path: "/v1/account",
      answer: async (call) => shown(await callerOf(call)),
    },
    {
      method: "PATCH",
      path: "/v1/account",
      async answer(call) {
        const accountId = await callerOf(call);
        const { name, email, password } = await readBody(call.request, ChangeAccount);
        if (email !== undefined) {
          await checkPassword(parts, {
            claimant: { accountId }, password: password!, counted: { passwordOfAccount: accountId }, task: "change the address",
          });
          throttles.take({ emailChangeOfAccount: accountId, mailToEmail: email.toLowerCase() });
          await Promise.all([database.run((sql) => askEmail(sql, accountId, email)), pause()]);
        }
        if (name !== undefined) await database.run((sql) => setName(sql, accountId, name));
        return shown(accountId);
      },
    },
    {
      // The token is proof enough: it went to the new address, on the word of a session and the password.
      method: "POST",
      path: "/v1/account/email/confirm",
      async answer({ request }) {
        const { token } = await readBody(request, UseToken);
        throttles.take({ tokenFromAddress: networkOf(request) });
        await database.run((sql) => confirmEmail(sql, tokenHash(token))).catch(
          refuseWith({
            EP404: tokenRefusal,
            EP409: ["conflict", "Cannot change the address: another account has taken it meanwhile"],
          }),
        );
        return Response.json({ object: "account.email", confirmed: true });
      },
    },
    {
      method: "POST",
      path: "/v1/account/password",
      async answer(call) {
        const accountId = await callerOf(call);
        const { password, new_password: next } = await readBody(call.request, ChangePassword);
        const checked = await checkPassword(parts, {
          claimant: { accountId }, password, counted: { passwordOfAccount: accountId }, task: "change the password",
        });
        const passwordHash = await passwords.hash(next);
        await database.run((sql) => setPassword(sql, accountId, checked.passwordHash, passwordHash)).catch(
          refuseWith({ EP404: ["conflict", "Cannot change the password: it was changed a moment ago by another session"] }),
        );
        // All sessions have ended, this one too: here is its successor.
        return Response.json(await openSession(parts, { accountId, passwordHash, betterHash: null }));
      },
    },
    {
      method: "POST",
      path: "/v1/account/logout-all",
      async answer(call) {
        const accountId = await callerOf(call);
        await readBody(call.request, Nothing);
        await database.run((sql) => endSessions(sql, accountId));
        return Response.json({ object: "logout", ended: "all" });
      },
    },
  ];
}
