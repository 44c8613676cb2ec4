/** What operators state of promises that software cannot see, in the role that the policy names, for as long as it says. */
import { hash } from "node:crypto";
import type { z } from "zod";
import { policy } from "#shared/policy.ts";
import { attest, listAttestations, withdrawAttestation } from "./evidence-queries.ts";
import { type Route, route } from "./route.ts";
import { NamedPromise, Nothing } from "./schema.ts";

const attested = policy.flatMap(({ id, promise, proof }) =>
  proof.kind === "attested" ? [{ id, sentence: promise, sentenceDigest: hash("sha256", promise), ...proof }] : [],
);

export const evidenceRoutes: Record<string, Route<z.ZodType>> = {
  "/attestations": route("list statements", Nothing, {}, async (sql) => {
    const all = await listAttestations(sql);
    return {
      promises: attested.map(({ id, sentence, sentenceDigest, role, validDays }) => {
        const last = all.find(({ promise }) => promise === id);
        return { id, sentence, role, validDays, statedAt: last?.statedAt ?? null, expiresAt: last?.expiresAt ?? null, isOfThisSentence: last?.sentenceDigest === sentenceDigest };
      }),
    };
  }),
  "/attestations/state": route("state promise", NamedPromise, {}, (sql, { promise }) => {
    const { sentenceDigest, validDays } = attested.find(({ id }) => id === promise)!;
    return attest(sql, { promise, sentenceDigest, validDays });
  }),
  "/attestations/withdraw": route("withdraw statement", NamedPromise, { missing: "there is none that counts" }, (sql, { promise }) =>
    withdrawAttestation(sql, promise),
  ),
};
