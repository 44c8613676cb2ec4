/** Everything that admin is configured by. */
import { z } from "zod";
import { setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { signupCreditMoments } from "./schema.ts";

export const configShape = {
  databaseUrl: databaseUrl("admin"),
  /** Days between the announcement of a model's retirement and its date, at least. */
  retirementNoticeDays: setting("retirement_notice_days", z.coerce.number().int().min(1).max(365).default(30)),
  /** Where operators sign in, as they open it: its origin is the only one that their passkeys answer to. */
  consoleUrl: setting("console_url", z.url({ protocol: /^https?$/ }).default("http://localhost:8080/function/admin/console/")),
  /** The domain that passkeys are made for, where it is not that of the console: a domain above it. */
  relyingPartyId: setting("relying_party_id", z.string().regex(/^[a-z0-9.-]{1,253}$/, "must be a domain").optional()),
  signupCreditRupiah: setting("signup_credit_rupiah", z.coerce.number().int().min(1).max(1_000_000_000).default(25_000)),
  /** After what an account gets it, once. */
  signupCreditAfter: setting("signup_credit_after", z.enum(signupCreditMoments).default("never")),
};
