/**
 * The token that a mail brings, made as notify sends it: it is in that mail and nowhere else, here only its SHA-256. A
 * mail that is sent again brings another one, and both count.
 */
import { randomBytes } from "node:crypto";
import type { z } from "zod";
import type { DatabasePool } from "#shared/db-pool.ts";
import { emailChangeHours, erasureGraceDays } from "#shared/stored-data.ts";
import { tokenHash } from "./parts.ts";
import { mintToken } from "./queries.ts";
import type { MailTokenAnswer, MailTokenRequest, TokenPurpose } from "./schema.ts";

/** 256 bits. */
const tokenBytes = 32;

/** Hours from the mail on; of a new address, from the wish on. A deletion can be taken back until the account is erased. */
const lifeHours: Record<TokenPurpose, number> = { verify_email: 24, reset_password: 1, change_email: emailChangeHours, cancel_deletion: 0 };

export function createMailTokens(database: DatabasePool) {
  return async function mailToken({ accountId, purpose }: z.output<typeof MailTokenRequest>): Promise<MailTokenAnswer> {
    const token = randomBytes(tokenBytes).toString("base64url");
    const asked = { accountId, purpose, hash: tokenHash(token), lifeHours: lifeHours[purpose], graceDays: erasureGraceDays };
    const minted = await database.run((sql) => mintToken(sql, asked));
    return { token: minted ? token : null };
  };
}
