/**
 * The public routes of billing: what an account sees and does of its money, each with the account's own API key; and the
 * price list, for everybody.
 */
import type { AccountOf } from "#shared/caller.ts";
import { formatRupiah } from "#shared/money.ts";
import { createPublicHandler, type PublicRoute } from "#shared/public.ts";
import { invoiceRoutes } from "./invoice-routes.ts";
import type { InvoiceSettings } from "./invoices.ts";
import { priceListRoute, type PriceListDeps } from "./price-list.ts";
import { findBalance } from "./queries.ts";

export interface PublicDeps extends PriceListDeps {
  accountOf: AccountOf;
  invoices: InvoiceSettings;
}

export function createBillingPages(deps: PublicDeps): (request: Request) => Promise<Response> {
  return createPublicHandler([priceListRoute(deps), ...accountRoutes(deps), ...invoiceRoutes(deps)]);
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
  ];
}
