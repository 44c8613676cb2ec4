/** What operators may ask for, by path: the shape of it, what does it, and what stands in its way in words. */
import type { z } from "zod";
import { EpithreError } from "#shared/errors.ts";
import { generateKey, hashKey, keyPrefix } from "#shared/keys.ts";
import { evidenceRoutes } from "./evidence-routes.ts";
import { lookupRoutes } from "./lookup-routes.ts";
import { type Route, route } from "./route.ts";
import { operatorRoutes } from "./operator-routes.ts";
import {
  announceRetirement,
  changeLimits,
  closeAccount,
  confirmInvoice,
  confirmPurgeGap,
  createAccount,
  createKey,
  createModel,
  createPrice,
  enableModel,
  findInvoices,
  grantSignupCredit,
  postCredit,
  readBalance,
  readBookedUntil,
  readBooks,
  readReconciliation,
  reinstateAccount,
  revokeKey,
  suspendAccount,
  withdrawRetirement,
} from "./queries.ts";
import {
  ChangeLimits,
  ConfirmInvoice,
  CreateAccount,
  CreateKey,
  CreateModel,
  CreatePrice,
  EnableModel,
  FindInvoices,
  NamedAccount,
  NamedModel,
  Nothing,
  PostCredit,
  ReadBooks,
  ReadReconciliation,
  RetireModel,
  RevokeKey,
  SuspendAccount,
} from "./schema.ts";

const noAccount = "no account has this id";
const noModel = "no model has this name";
const closed = "the account is closed for good";

export const routes: Record<string, Route<z.ZodType>> = {
  ...operatorRoutes,
  ...lookupRoutes,
  ...evidenceRoutes,
  "/accounts": route("open account", CreateAccount, { conflict: "another account has this address" }, async (sql, asked) => ({
    accountId: await createAccount(sql, asked),
  })),
  "/accounts/suspend": route("suspend account", SuspendAccount, { missing: noAccount, conflict: closed }, suspendAccount),
  "/accounts/reinstate": route("reinstate account", NamedAccount, { missing: noAccount, conflict: closed }, (sql, { accountId }) =>
    reinstateAccount(sql, accountId),
  ),
  "/accounts/close": route(
    "close account",
    NamedAccount,
    { missing: noAccount, short: "it has credit left; refund it, or post an adjustment (account_closing) where it is forfeited with consent" },
    (sql, { accountId }) => closeAccount(sql, accountId),
  ),
  "/keys": route(
    "make key",
    CreateKey,
    { missing: "no account has this id, or no model one of these names", conflict: closed },
    async (sql, asked) => {
      const key = generateKey();
      const prefix = keyPrefix(key);
      return { keyId: await createKey(sql, asked, { hash: hashKey(key), prefix }), key, prefix };
    },
  ),
  "/keys/limits": route(
    "change limits",
    ChangeLimits,
    { missing: "no key has this id, or no model one of these names", conflict: "the key is revoked" },
    changeLimits,
  ),
  "/keys/revoke": route("revoke key", RevokeKey, { missing: "no key has this id" }, (sql, { keyId }) => revokeKey(sql, keyId)),
  "/credits": route(
    "post billing event",
    PostCredit,
    {
      missing: noAccount,
      conflict: "its idempotency key was used for another event (take a new one for a new event), or the account had its signup credit",
      short: "the account has less available than it takes",
      malformed: "a refund is negative, a top-up or signup credit positive, and none is zero",
    },
    async (sql, asked) => ({ eventId: await postCredit(sql, asked) }),
  ),
  "/signup-credits": route(
    "grant signup credit",
    NamedAccount,
    { missing: noAccount, conflict: closed },
    async (sql, { accountId }, { signupCredit: { micro, after } }) => {
      if (after !== "operator") {
        throw new EpithreError("conflict", `Cannot grant signup credit: signup_credit_after is ${after}, so it is not for operators to give`);
      }
      return { eventId: await grantSignupCredit(sql, accountId, micro) };
    },
  ),
  "/invoices/find": route("find invoices", FindInvoices, {}, async (sql, asked) => ({ invoices: await findInvoices(sql, asked) })),
  "/invoices/confirm": route(
    "confirm invoice",
    ConfirmInvoice,
    {
      missing: "no invoice has this id",
      mismatch: "what was received is not its total, tax included; see /invoices/find, and settle the difference with the payer",
      conflict: "it is cancelled, or its account closed; send the transfer back, or have the account ask for a new invoice",
    },
    async (sql, asked, { signupCredit: { micro, after } }) => ({ eventId: await confirmInvoice(sql, asked, after === "first_transfer" ? micro : null) }),
  ),
  "/models": route("enter model", CreateModel, { conflict: "a model has this name already" }, createModel),
  "/models/enable": route("change model", EnableModel, { missing: noModel }, enableModel),
  "/models/retire": route(
    "announce retirement",
    RetireModel,
    {
      missing: noModel,
      conflict: "it is announced already; withdraw that first",
      past: "its date is sooner than the notice that users get (setting retirement_notice_days)",
    },
    (sql, asked, { retirementNoticeDays }) => announceRetirement(sql, asked, retirementNoticeDays),
  ),
  "/models/retire/withdraw": route(
    "withdraw retirement",
    NamedModel,
    { missing: "no model has this name, or its retirement is not announced", past: "its date has passed" },
    withdrawRetirement,
  ),
  "/prices": route(
    "set price",
    CreatePrice,
    {
      missing: noModel,
      conflict: "a line is given twice, or the model makes no images and has lines",
      past: "its time has passed; leave it out for a price that is in force at once",
    },
    async (sql, asked) => ({ version: await createPrice(sql, asked) }),
  ),
  "/books": route("read books", ReadBooks, {}, async (sql, asked) => ({
    bookedUntil: await readBookedUntil(sql),
    days: await readBooks(sql, asked),
  })),
  "/reconciliation": route("read reconciliation", ReadReconciliation, {}, async (sql, { minutes }) => ({
    models: (await readReconciliation(sql, minutes)).map((each) => {
      const engine = each.engine.promptTokens + each.engine.completionTokens;
      const ledger = each.ledger.promptTokens + each.ledger.completionTokens;
      return { ...each, captureRate: engine === 0 ? null : ledger / engine, gapTokens: engine - ledger };
    }),
  })),
  "/purge/confirm": route("confirm gap", Nothing, { missing: "purge has refused nothing" }, confirmPurgeGap),
  "/balance": route("read balance", NamedAccount, { missing: noAccount }, async (sql, { accountId }) => {
    const { balanceMicro, availableMicro } = await readBalance(sql, accountId);
    return { balanceMicro: String(balanceMicro), availableMicro: String(availableMicro) };
  }),
};
