/**
 * The public routes of billing: what an account sees and does of its money, each with the account's own API key; and the
 * price list, for everybody.
 */
import type { AccountOf } from "#shared/caller.ts";
import { readJson } from "#shared/json-body.ts";
import { formatRupiah, microPerRupiah } from "#shared/money.ts";
import { createPublicHandler, type PublicRoute } from "#shared/public.ts";
import { invoiceRoutes } from "./invoice-routes.ts";
import type { InvoiceSettings } from "./invoices.ts";
import { priceListRoute, type PriceListDeps } from "./price-list.ts";
import { findAlert, findBalance, setAlert } from "./queries.ts";
import { AlertBody } from "./schema.ts";
import { type StatementDeps, statementRoutes } from "./statement-routes.ts";

export interface PublicDeps extends PriceListDeps, StatementDeps {
  accountOf: AccountOf;
  invoices: InvoiceSettings;
}

export function createBillingPages(deps: PublicDeps): (request: Request) => Promise<Response> {
  return createPublicHandler([priceListRoute(deps), ...accountRoutes(deps), ...invoiceRoutes(deps), ...statementRoutes(deps)]);
}

function accountRoutes({ accountOf, database }: PublicDeps): PublicRoute[] {
  return [
    {
      method: "GET",
      path: "/v1/billing/balance",
      async answer({ request }) {
        const accountId = await accountOf(request.headers.get("authorization"));
        const { balanceMicro, availableMicro } = await database.run((sql) => findBalance(sql, accountId));
        return Response.json({
          object: "balance",
          currency: "IDR",
          amount: formatRupiah(BigInt(balanceMicro)),
          available: formatRupiah(BigInt(availableMicro)),
        });
      },
    },
    {
      method: "GET",
      path: "/v1/billing/alert",
      async answer({ request }) {
        const accountId = await accountOf(request.headers.get("authorization"));
        const thresholdMicro = await database.run((sql) => findAlert(sql, accountId));
        return alertAnswer(thresholdMicro === null ? null : Number(thresholdMicro / BigInt(microPerRupiah)));
      },
    },
    {
      method: "PUT",
      path: "/v1/billing/alert",
      async answer({ request }) {
        const accountId = await accountOf(request.headers.get("authorization"));
        const { threshold_rupiah: rupiah } = await readJson(request, AlertBody);
        const thresholdMicro = rupiah === null ? null : BigInt(rupiah) * BigInt(microPerRupiah);
        await database.run((sql) => setAlert(sql, accountId, thresholdMicro));
        return alertAnswer(rupiah);
      },
    },
  ];
}

function alertAnswer(thresholdRupiah: number | null): Response {
  return Response.json({ object: "balance_alert", currency: "IDR", threshold_rupiah: thresholdRupiah });
}
