/** What an account sees and does of its money: the public routes of billing, each with the account's own API key. */
import type { AccountOf } from "#shared/caller.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { formatRupiah } from "#shared/money.ts";
import { createPublicHandler, type PublicRoute } from "#shared/public.ts";
import { invoiceRoutes } from "./invoice-routes.ts";
import type { InvoiceSettings } from "./invoices.ts";
import { findBalance } from "./queries.ts";

export interface PublicDeps {
  accountOf: AccountOf;
  database: DatabasePool;
  invoices: InvoiceSettings;
}

export function createBillingPages(deps: PublicDeps): (request: Request) => Promise<Response> {
  return createPublicHandler([...accountRoutes(deps), ...invoiceRoutes(deps)]);
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
