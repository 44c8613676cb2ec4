/** Deletes one's own account, and takes that back (right.delete). */
import { promised } from "#shared/policy.ts";
import type { PublicRoute } from "#shared/public.ts";
import { erasureGraceDays, limitDays } from "#shared/stored-data.ts";
import { checkPassword, type Parts, readBody, tokenHash } from "./parts.ts";
import { closeAccount, reopenAccount } from "./queries.ts";
import { refuseWith, tokenRefusal } from "./refusals.ts";
import { DeleteAccount, UseToken } from "./schema.ts";

const dayMs = 86_400_000;
const daysOf = (id: "right.delete" | "keep.billing" | "keep.audit") => limitDays(promised(id).limit!);

export function deletionRoutes(parts: Parts): PublicRoute[] {
  const { database, throttles, networkOf, sessionOf } = parts;

  return [
    {
      method: "POST",
      path: "/v1/account/delete",
      async answer({ request }) {
        const accountId = await sessionOf(request.headers.get("authorization"));
        const { password, forfeit_credit: forfeit } = await readBody(request, DeleteAccount);
        await checkPassword(parts, {
          claimant: { accountId }, password, counted: { passwordOfAccount: accountId }, task: "delete the account",
        });
        await database.run((sql) => closeAccount(sql, accountId, forfeit)).catch(
          refuseWith({
            EP402: [
              "conflict",
              "Cannot delete the account: it has credit left. Ask hello@epithre.com for a refund first, or send `forfeit_credit: true` to give it up.",
            ],
            EP404: ["conflict", "Cannot delete the account: it is closed already"],
          }),
        );
        return Response.json(deletionObject(Date.now()), { status: 202 });
      },
    },
    {
      method: "POST",
      path: "/v1/account/delete/cancel",
      async answer({ request }) {
        const { token } = await readBody(request, UseToken);
        throttles.take({ tokenFromAddress: networkOf(request) });
        await database.run((sql) => reopenAccount(sql, tokenHash(token))).catch(refuseWith({ EP404: tokenRefusal }));
        return Response.json({
          object: "account.deletion",
          cancelled: true,
          message: "The account is open again. Log in, and make new API keys: the former ones stay revoked.",
        });
      },
    },
  ];
}

/** What happens now, and what stays for how long. */
function deletionObject(closedAtMs: number) {
  const after = (days: number) => new Date(closedAtMs + days * dayMs).toISOString();
  return {
    object: "account.deletion",
    closed: "The account, its API keys and its sessions ended now.",
    cancel_until: after(erasureGraceDays),
    erased_from: after(erasureGraceDays),
    erased_everywhere_by: after(daysOf("right.delete")),
    stays: [
      {
        what: "Billing events and paid invoices, under the account's number: the law asks for them",
        days: daysOf("keep.billing"),
        counts_from: "the event",
        promise: "keep.billing",
      },
      {
        what: "Rows of the audit log, under an alias that names nobody once the account is erased",
        days: daysOf("keep.audit"),
        counts_from: "the action",
        promise: "keep.audit",
      },
    ],
  };
}
