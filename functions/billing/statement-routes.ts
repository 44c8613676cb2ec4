/** The public routes of monthly statements, which are made when they are asked for. */
import type { AccountOf } from "#shared/caller.ts";
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import type { PublicCall, PublicRoute } from "#shared/public.ts";
import { asDownload } from "./document.ts";
import type { InvoiceSettings } from "./invoices.ts";
import { findStatementMonths } from "./queries.ts";
import { readStatement, type Statement } from "./statement.ts";
import { statementCsv } from "./statement-csv.ts";
import { statementObject } from "./statement-json.ts";
import { statementPdf } from "./statement-pdf.ts";

export interface StatementDeps {
  accountOf: AccountOf;
  /** With connections of its own: grants of leases never wait behind a statement. */
  statementDatabase: DatabasePool;
  invoices: InvoiceSettings;
}

/** Statements that one process makes at once: the process has leases to grant meanwhile. */
const madeAtOnceMax = 2;

/** Seconds after which a refused caller may try again. */
const retryAfterS = 2;

export function statementRoutes({ accountOf, statementDatabase: database, invoices }: StatementDeps): PublicRoute[] {
  const making = new Set<string>();

  /** One at a time for each account, and few of all. */
  async function withPlace<T>(accountId: string, make: () => Promise<T>): Promise<T> {
    if (making.has(accountId)) {
      throw new EpithreError("rate_limit_exceeded", "Cannot make another statement: one of this account is being made", { retryAfterS });
    }
    if (making.size >= madeAtOnceMax) {
      throw new EpithreError("overloaded", "Cannot make a statement now: others are being made", { retryAfterS });
    }
    making.add(accountId);
    try {
      return await make();
    } finally {
      making.delete(accountId);
    }
  }

  function statementAs(write: (statement: Statement) => Response | Promise<Response>) {
    return async ({ request, id: month }: PublicCall) => {
      const accountId = await accountOf(request.headers.get("authorization"));
      return withPlace(accountId, async () => write(await readStatement(database, accountId, month)));
    };
  }

  return [
    {
      method: "GET",
      path: "/v1/billing/statements",
      async answer({ request }) {
        const accountId = await accountOf(request.headers.get("authorization"));
        const { months } = await database.run((sql) => findStatementMonths(sql, accountId));
        return Response.json({ object: "list", data: months.map((month) => ({ object: "statement", month })) });
      },
    },
    // Before the route without an ending, which their paths match too.
    {
      method: "GET",
      path: "/v1/billing/statements/{id}.pdf",
      answer: statementAs(async (statement) => asDownload(await statementPdf(statement, invoices.seller))),
    },
    {
      method: "GET",
      path: "/v1/billing/statements/{id}.csv",
      answer: statementAs((statement) => asDownload(statementCsv(statement))),
    },
    {
      method: "GET",
      path: "/v1/billing/statements/{id}",
      answer: statementAs((statement) => Response.json(statementObject(statement))),
    },
  ];
}
