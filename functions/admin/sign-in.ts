/**
 * How operators prove who they are: by a passkey, which never leaves their device and answers to one origin only
 * (WebAuthn level 3). These routes need no session. What they refuse, they refuse in the same words, whatever was wrong.
 */
import {
  generateAuthenticationOptions, generateRegistrationOptions, verifyAuthenticationResponse, verifyRegistrationResponse,
} from "@simplewebauthn/server";
import type { z } from "zod";
import type { DatabasePool } from "#shared/db-pool.ts";
import { EpithreError } from "#shared/errors.ts";
import * as queries from "./operator-queries.ts";
import { AskEnrolment, Enrol, Nothing, SignIn } from "./schema.ts";
import { digestOf, newToken } from "./tokens.ts";

export interface SignInDeps {
  database: DatabasePool;
  /** Of the console: the only one that a passkey may have answered to. */
  origin: string;
  /** The domain that passkeys are made for: that of the origin, or one above it. */
  relyingPartyId: string;
}

/** Minutes that a person has to touch the device. */
const challengeMinutes = 5;

/** Hours of a session: a working day. */
export const sessionHours = 12;

/** COSE: ES256, EdDSA and RS256, of which every authenticator has one. */
const algorithms = [-7, -8, -257];

/** A challenge is for one thing only: to sign in, or to enrol by one invite. */
type Purpose = "sign in" | Buffer;

export interface OpenRoute<Schema extends z.ZodType> {
  schema: Schema;
  answer(asked: z.output<Schema>): Promise<object>;
}

const openRoute = <Schema extends z.ZodType>(schema: Schema, answer: OpenRoute<Schema>["answer"]): OpenRoute<Schema> => ({ schema, answer });

export function createSignIn({ database, origin, relyingPartyId }: SignInDeps): Record<string, OpenRoute<z.ZodType>> {
  const expected = { expectedOrigin: origin, expectedRPID: relyingPartyId, requireUserVerification: true };

  const isFor = (purpose: Purpose) => (challenge: string) =>
    database.run((sql) => queries.takeChallenge(sql, challengeDigest(purpose, challenge)));

  async function open<Options extends { challenge: string }>(purpose: Purpose, options: Options): Promise<{ options: Options }> {
    await database.run((sql) => queries.openChallenge(sql, challengeDigest(purpose, options.challenge), challengeMinutes));
    return { options };
  }

  async function invited(word: string) {
    const found = await database.run((sql) => queries.findInvite(sql, digestOf(word)));
    if (found) return found;
    throw refused("enrol passkey: this link was used, has expired or was withdrawn; ask another operator, or make one at the machine: npm run operator");
  }

  return {
    "/sign-in/options": openRoute(Nothing, async () =>
      open("sign in", await generateAuthenticationOptions({ rpID: relyingPartyId, userVerification: "required" })),
    ),
    "/sign-in": openRoute(SignIn, async ({ response }) => {
      const id = Buffer.from(response.id, "base64url");
      const known = await database.run((sql) => queries.findCredential(sql, id));
      const answered = known && (await verifyAuthenticationResponse({
        ...expected,
        response: { ...response, clientExtensionResults: {} },
        expectedChallenge: isFor("sign in"),
        credential: { id: response.id, publicKey: known.publicKey, counter: known.uses },
      }).catch(ifRefused));
      if (!answered?.verified) throw unknownPasskey();
      const { word, digest } = newToken();
      await database.run((sql) => queries.signIn(sql, id, answered.authenticationInfo.newCounter, digest, sessionHours));
      return { token: word, hours: sessionHours };
    }),
    "/enrol/options": openRoute(AskEnrolment, async ({ invite }) => {
      const { operatorId, name } = await invited(invite);
      const options = await generateRegistrationOptions({
        rpName: "Epithre operators",
        rpID: relyingPartyId,
        userName: name,
        userID: Buffer.from(operatorId.replaceAll("-", ""), "hex"),
        attestationType: "none",
        authenticatorSelection: { residentKey: "required", userVerification: "required" },
        supportedAlgorithmIDs: algorithms,
      });
      return open(digestOf(invite), options);
    }),
    "/enrol": openRoute(Enrol, async ({ invite, response }) => {
      await invited(invite);
      const answered = await verifyRegistrationResponse({
        ...expected,
        response: { ...response, clientExtensionResults: {} },
        expectedChallenge: isFor(digestOf(invite)),
        supportedAlgorithmIDs: algorithms,
      }).catch(ifRefused);
      if (!answered?.verified) throw refused("enrol passkey: its answer was not accepted; open the link again");
      const { id, publicKey, counter } = answered.registrationInfo.credential;
      const credential = { id: Buffer.from(id, "base64url"), publicKey, uses: counter };
      await database.run((sql) => queries.enrol(sql, digestOf(invite), credential));
      return {};
    }),
  };
}

function challengeDigest(purpose: Purpose, challenge: string): Buffer {
  return digestOf(`${purpose instanceof Buffer ? `enrol ${purpose.toString("hex")}` : purpose}\n${challenge}`);
}

/** The library throws plain errors for whatever does not fit; those of the database are answered as such. */
function ifRefused(thrown: unknown): undefined {
  if (thrown instanceof EpithreError) throw thrown;
}

const refused = (problem: string) => new EpithreError("invalid_api_key", `Cannot ${problem}`);

const unknownPasskey = () => refused("sign in: the passkey is not known here, or its answer was not accepted; try again, or have another operator make you a new link");
