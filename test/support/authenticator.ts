/** A passkey in software: what a browser and its authenticator answer, and what a dishonest one might (WebAuthn level 3). */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

export interface Ceremony {
  challenge: string;
  origin?: string;
  rpId?: string;
  /** Whether the authenticator says that it knew the person (PIN, finger). */
  verified?: boolean;
  /** What it says that it was used; counts by itself otherwise. */
  uses?: number;
}

export interface Authenticator {
  create(ceremony: Ceremony): object;
  get(ceremony: Ceremony): object;
}

const sha256 = (data: Buffer | string) => createHash("sha256").update(data).digest();
const base64url = (data: Buffer) => data.toString("base64url");
/** CBOR: a byte string of up to 65,535 bytes. */
const bytes = (data: Buffer) => Buffer.concat([Buffer.from([0x59, data.length >> 8, data.length & 0xff]), data]);

/** COSE: an EC2 key for ES256. */
function coseKey(key: KeyObject): Buffer {
  const { x, y } = key.export({ format: "jwk" });
  const point = (text: string) => Buffer.concat([Buffer.from([0x58, 0x20]), Buffer.from(text, "base64url")]);
  return Buffer.concat([Buffer.from([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21]), point(x!), Buffer.from([0x22]), point(y!)]);
}

export function createAuthenticator(): Authenticator {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const id = randomBytes(32);
  let counted = 0;

  function clientData(type: string, { challenge, origin = "http://localhost:8080" }: Ceremony): Buffer {
    return Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false }));
  }

  function authenticatorData({ rpId = "localhost", verified = true, uses = (counted += 1) }: Ceremony, attested: Buffer = Buffer.alloc(0)): Buffer {
    const flags = 0x01 | (verified ? 0x04 : 0) | (attested.length > 0 ? 0x40 : 0);
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(uses);
    return Buffer.concat([sha256(rpId), Buffer.from([flags]), counter, attested]);
  }

  const answer = (response: object) => ({ id: base64url(id), rawId: base64url(id), type: "public-key", response });

  return {
    create(ceremony) {
      const attested = Buffer.concat([Buffer.alloc(16), Buffer.from([0, id.length]), id, coseKey(publicKey)]);
      // {fmt: "none", attStmt: {}, authData}
      const attestation = Buffer.concat([
        Buffer.from([0xa3, 0x63]), Buffer.from("fmt"), Buffer.from([0x64]), Buffer.from("none"),
        Buffer.from([0x67]), Buffer.from("attStmt"), Buffer.from([0xa0]),
        Buffer.from([0x68]), Buffer.from("authData"), bytes(authenticatorData(ceremony, attested)),
      ]);
      return answer({ clientDataJSON: base64url(clientData("webauthn.create", ceremony)), attestationObject: base64url(attestation) });
    },
    get(ceremony) {
      const client = clientData("webauthn.get", ceremony);
      const data = authenticatorData(ceremony);
      const signature = sign("sha256", Buffer.concat([data, sha256(client)]), privateKey);
      return answer({ clientDataJSON: base64url(client), authenticatorData: base64url(data), signature: base64url(signature) });
    },
  };
}
