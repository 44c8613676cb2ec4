/** Everything that admin is configured by. */
import { secret } from "#shared/config.ts";
import { databaseUrl } from "#shared/db.ts";

export const configShape = {
  databaseUrl: databaseUrl("admin"),
  operatorToken: secret("operator-token"),
};
