/** Top-ups as their account asks for them: invoices, their documents, and cancelling one. */
import { z } from "zod";
import { sqlState } from "#shared/db.ts";
import { EpithreError } from "#shared/errors.ts";
import type { PublicCall, PublicRoute } from "#shared/public.ts";
import { asDownload } from "./document.ts";
import { makeInvoiceDocument } from "./invoice-document.ts";
import { type Invoice, invoiceObject, topUpTerms } from "./invoices.ts";
import type { PublicDeps } from "./public.ts";
import { cancelInvoice, findInvoice, listInvoices, openInvoicesMax, requestTopUp, topUpsPerDayMax } from "./queries.ts";
import { IdempotencyKey, InvoiceId, InvoicesQuery, topUpRequest } from "./schema.ts";

export function invoiceRoutes({ accountOf, database, invoices: settings }: PublicDeps): PublicRoute[] {
  const TopUp = topUpRequest(settings.minRupiah, settings.maxRupiah);
  const callerOf = ({ request }: PublicCall) => accountOf(request.headers.get("authorization"));
  const shown = (invoice: Invoice) => invoiceObject(invoice, settings.payment);

  /** Of the caller's own account; another's is not there (404). */
  async function invoiceOf(call: PublicCall): Promise<Invoice> {
    const accountId = await callerOf(call);
    const id = InvoiceId.safeParse(call.id);
    const invoice = id.success ? await database.run((sql) => findInvoice(sql, id.data, accountId)) : undefined;
    if (!invoice) throw new EpithreError("not_found", "Cannot find invoice: the account has none of this id; see GET /v1/billing/invoices");
    return invoice;
  }

  return [
    {
      method: "GET",
      path: "/v1/billing/topups",
      async answer(call) {
        await callerOf(call);
        return Response.json(topUpTerms(settings));
      },
    },
    {
      method: "POST",
      path: "/v1/billing/topups",
      async answer(call) {
        const accountId = await callerOf(call);
        const key = readKey(call.request.headers.get("idempotency-key"));
        const { amount_rupiah: rupiah } = await readBody(call.request, TopUp);
        const asked = { accountId, rupiah, key, ppnBasisPoints: settings.ppnBasisPoints, dueDays: settings.dueDays };
        const { outcome, invoiceId } = await database.run((sql) => requestTopUp(sql, asked)).catch((thrown) => {
          if (sqlState(thrown) !== "EP404") throw thrown;
          throw new EpithreError("not_found", "Cannot make invoice: the account is closed");
        });
        if (outcome !== "made") throw refusals[outcome]();
        const invoice = await database.run((sql) => findInvoice(sql, invoiceId!, accountId));
        return Response.json(shown(invoice!), { status: 201 });
      },
    },
    {
      method: "GET",
      path: "/v1/billing/invoices",
      async answer(call) {
        const accountId = await callerOf(call);
        const { limit, cursor } = readQuery(call.query);
        const found = await database.run((sql) => listInvoices(sql, accountId, limit + 1, cursor));
        const data = found.slice(0, limit);
        const hasMore = found.length > limit;
        return Response.json({
          object: "list",
          data: data.map(shown),
          has_more: hasMore,
          next_cursor: hasMore ? data.at(-1)!.id : null,
        });
      },
    },
    {
      // Before the route of one invoice, whose id could end like this too.
      method: "GET",
      path: "/v1/billing/invoices/{id}.pdf",
      answer: async (call) => asDownload(await makeInvoiceDocument(await invoiceOf(call), settings, database)),
    },
    {
      method: "GET",
      path: "/v1/billing/invoices/{id}",
      answer: async (call) => Response.json(shown(await invoiceOf(call))),
    },
    {
      method: "POST",
      path: "/v1/billing/invoices/{id}/cancel",
      async answer(call) {
        const { id, accountId } = await invoiceOf(call);
        await database.run((sql) => cancelInvoice(sql, accountId, id)).catch((thrown) => {
          if (sqlState(thrown) !== "EP409") throw thrown;
          throw new EpithreError("conflict", "Cannot cancel invoice: it is paid; write to hello@epithre.com for a refund");
        });
        return Response.json(shown(await invoiceOf(call)));
      },
    },
  ];
}

const refusals = {
  other_amount: () =>
    new EpithreError("conflict", "Cannot make invoice: this Idempotency-Key came with another amount before; take a new one"),
  too_many_open: () =>
    new EpithreError("conflict", `Cannot make invoice: ${openInvoicesMax} are unpaid; pay one, or cancel one you do not need`),
  too_many_today: () =>
    new EpithreError("rate_limit_exceeded", `Cannot make invoice: ${topUpsPerDayMax} were made within a day; try again tomorrow`, {
      retryAfterS: 3_600,
    }),
};

function readKey(header: string | null): string {
  const key = IdempotencyKey.safeParse(header);
  if (key.success) return key.data;
  throw new EpithreError("invalid_request", "Cannot make invoice: send a header Idempotency-Key with a new UUID for each top-up");
}

async function readBody<Schema extends z.ZodType>(request: Request, schema: Schema): Promise<z.output<Schema>> {
  const body: unknown = await request.json().catch(() => {
    throw new EpithreError("invalid_json", "Cannot read body: it is not valid JSON");
  });
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw unusable("body", parsed.error);
}

function readQuery(query: URLSearchParams): z.output<typeof InvoicesQuery> {
  const parsed = InvoicesQuery.safeParse(Object.fromEntries(query));
  if (parsed.success) return parsed.data;
  throw unusable("query", parsed.error);
}

/** Names a field of ours, never one that the caller made up. */
function unusable(what: "body" | "query", error: z.ZodError): EpithreError {
  const { code, path, message } = error.issues[0]!;
  if (code === "unrecognized_keys") return new EpithreError("invalid_request", `Cannot use ${what}: it has a field that this route does not know`);
  const param = path.join(".");
  const problem = param === "" ? "it is not an object" : `${param} ${message}`;
  return new EpithreError("invalid_request", `Cannot use ${what}: ${problem}`, param === "" ? {} : { param });
}
