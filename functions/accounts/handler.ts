/** People's own accounts: the public routes under /v1/account, and for notify the tokens that mail brings. */
import { createInternalHandler, type EdgeSecrets, type InternalHandler, route } from "#shared/http.ts";
import { createPublicHandler } from "#shared/public.ts";
import { copyRoute } from "./copy.ts";
import { deletionRoutes } from "./deletion.ts";
import { keyRoutes } from "./key-routes.ts";
import { createMailTokens } from "./mail-tokens.ts";
import type { Parts } from "./parts.ts";
import { profileRoutes } from "./profile.ts";
import { MailTokenRequest } from "./schema.ts";
import { signInRoutes } from "./sign-in.ts";

export function createHandler(parts: Parts): (request: Request) => Promise<Response> {
  return createPublicHandler([
    ...signInRoutes(parts),
    ...profileRoutes(parts),
    ...keyRoutes(parts),
    ...deletionRoutes(parts),
    copyRoute(parts),
  ]);
}

export function createInternal({ database }: Pick<Parts, "database">, edgeSecrets: EdgeSecrets): InternalHandler {
  return createInternalHandler("accounts", edgeSecrets, {
    "/mail-tokens": route({ input: MailTokenRequest, answer: createMailTokens(database) }),
  });
}
