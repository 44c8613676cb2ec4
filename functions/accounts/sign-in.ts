/**
 * What somebody does who has no session yet: sign up, verify the address, log in, set a new password. No answer tells
 * whether an address has an account; its owner learns by mail.
 */
import { EpithreError } from "#shared/errors.ts";
import type { PublicRoute } from "#shared/public.ts";
import { checkPassword, openSession, type Parts, readBody, tokenHash } from "./parts.ts";
import { askMail, findCredentials, resetPassword, signUp, verifyEmail } from "./queries.ts";
import { refuseWith, tokenRefusal } from "./refusals.ts";
import { LogIn, NamedEmail, ResetPassword, SignUp, VerifyEmail } from "./schema.ts";

/** One word for whoever asks, whatever there is to send. */
const mailIsOnItsWay = () =>
  Response.json({ object: "mail", message: "If there is something to do for this address, a mail with a link is on its way to it." }, { status: 202 });

export function signInRoutes(parts: Parts): PublicRoute[] {
  const { database, passwords, throttles, networkOf, signupCreditMicro, pause } = parts;
  /** Whether a row was written, or a mail queued, does not show in the time. */
  const evenly = (work: Promise<void>) => Promise.all([work, pause()]);
  const mailbox = (email: string) => email.toLowerCase();

  function mailAgain(path: string, purpose: "verify_email" | "reset_password"): PublicRoute {
    return {
      method: "POST",
      path,
      async answer({ request }) {
        const { email } = await readBody(request, NamedEmail);
        throttles.take({ mailFromAddress: networkOf(request), mailToEmail: mailbox(email) });
        await evenly(database.run((sql) => askMail(sql, email, purpose)));
        return mailIsOnItsWay();
      },
    };
  }

  return [
    {
      method: "POST",
      path: "/v1/account/signup",
      async answer({ request }) {
        const { email, name, password } = await readBody(request, SignUp);
        throttles.take({ signupFromAddress: networkOf(request), mailToEmail: mailbox(email) });
        const passwordHash = await passwords.hash(password);
        await evenly(database.run((sql) => signUp(sql, { email, name, passwordHash })));
        return mailIsOnItsWay();
      },
    },
    {
      // With the password of the signup: another may have entered the address before its owner did, and the link alone
      // would give the owner's word to the other's password.
      method: "POST",
      path: "/v1/account/verify",
      async answer({ request }) {
        const { token, password } = await readBody(request, VerifyEmail);
        throttles.take({ tokenFromAddress: networkOf(request) });
        const claimant = { token: tokenHash(token), purpose: "verify_email" } as const;
        const owner = await database.run((sql) => findCredentials(sql, claimant));
        if (!owner) throw new EpithreError(...tokenRefusal);
        const checked = await checkPassword(parts, {
          claimant, password, counted: { passwordOfAccount: owner.accountId }, task: "verify the address",
        });
        await database
          .run((sql) => verifyEmail(sql, claimant.token, checked.passwordHash, signupCreditMicro))
          .catch(refuseWith({ EP404: tokenRefusal }));
        return Response.json(await openSession(parts, checked));
      },
    },
    mailAgain("/v1/account/verify/resend", "verify_email"),
    {
      method: "POST",
      path: "/v1/account/login",
      async answer({ request }) {
        const { email, password } = await readBody(request, LogIn);
        const network = networkOf(request);
        const checked = await checkPassword(parts, {
          claimant: { email },
          password,
          counted: {
            loginFromAddress: network,
            loginOfAccount: mailbox(email),
            loginOfAccountFromAddress: network && `${network} ${mailbox(email)}`,
          },
          task: "log in",
        });
        if (!checked.verified) {
          throw new EpithreError("email_not_verified", "Cannot log in: the e-mail address is not verified. Open the link in the mail, or ask for another.");
        }
        return Response.json(await openSession(parts, checked));
      },
    },
    mailAgain("/v1/account/password/reset-request", "reset_password"),
    {
      method: "POST",
      path: "/v1/account/password/reset",
      async answer({ request }) {
        const { token, password } = await readBody(request, ResetPassword);
        throttles.take({ tokenFromAddress: networkOf(request) });
        const claimant = { token: tokenHash(token), purpose: "reset_password" } as const;
        if (!(await database.run((sql) => findCredentials(sql, claimant)))) throw new EpithreError(...tokenRefusal);
        const passwordHash = await passwords.hash(password);
        const accountId = await database
          .run((sql) => resetPassword(sql, claimant.token, passwordHash, signupCreditMicro))
          .catch(refuseWith({ EP404: tokenRefusal }));
        return Response.json(await openSession(parts, { accountId, passwordHash, betterHash: null }));
      },
    },
  ];
}
