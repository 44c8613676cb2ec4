/** What a receipt says of an export's records: how many, from which to which, and the root of the tree over them. */
import { EpithreError } from "#shared/errors.ts";
import { createMerkleTree, type InclusionProof } from "#shared/merkle.ts";
import { eachRecord, endsOf, requestIdAt } from "./records.ts";
import type { Page, PageAfter } from "./usage-pages.ts";

export interface UsageSum {
  rows: number;
  firstId: string | null;
  lastId: string | null;
  root: Buffer;
  /** The record that was asked for and its way to the root; undefined when it is not among them. */
  proven: { record: string; proof: InclusionProof } | undefined;
}

export interface UsageSumOptions {
  afterId: string;
  pageAfter: PageAfter;
  /** The event to prove. */
  provenId: string | undefined;
  /** Ends the reading: the caller left, or it takes too long. */
  signal: AbortSignal;
}

/** One page at a time is in memory, and of the tree a hash for each of its levels. */
export async function sumUsage({ afterId, pageAfter, provenId, signal }: UsageSumOptions): Promise<UsageSum> {
  const tree = createMerkleTree();
  let firstId: string | null = null;
  let lastId: string | null = null;
  let provenRecord = "";
  let page: Page = { found: Buffer.alloc(0), endId: afterId };
  while (page.endId !== null) {
    if (signal.aborted) throw tooLong();
    page = await pageAfter(page.endId);
    const { found } = page;
    eachRecord(found, (from, end) => {
      const isProven = provenId !== undefined && requestIdAt(found, from) === provenId;
      tree.addFrom(found, from, end, isProven);
      if (isProven) provenRecord = found.toString("latin1", from, end);
    });
    const ends = endsOf(found);
    firstId ??= ends.firstId;
    lastId = ends.lastId ?? lastId;
  }
  const { size, root, proof } = tree.close();
  return { rows: size, firstId, lastId, root, proven: proof && { record: provenRecord, proof } };
}

const tooLong = () =>
  new EpithreError("unavailable", "Cannot sign these records: reading them took too long. Ask for fewer days by from and to, for the file too.");
