/** Everything that admin is configured by. */
import { z } from "zod";
import { secret, setting } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";
import { signupCreditMoments } from "./schema.ts";

export const configShape = {
  databaseUrl: databaseUrl("admin"),
  /** Days between the announcement of a model's retirement and its date, at least. */
  retirementNoticeDays: setting("retirement_notice_days", z.coerce.number().int().min(1).max(365).default(30)),
  operatorToken: secret("operator-token"),
  signupCreditRupiah: setting("signup_credit_rupiah", z.coerce.number().int().min(1).max(1_000_000_000).default(25_000)),
  /** After what an account gets it, once. */
  signupCreditAfter: setting("signup_credit_after", z.enum(signupCreditMoments).default("never")),
};
