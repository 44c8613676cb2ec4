/** What a request cost, as its answer says it. */
import { formatRupiah, type MicroRupiah } from "#shared/money.ts";

/** Members to add to a `usage` object: rupiah for people, micro-rupiah exactly. */
export function costFields(chargedMicro: MicroRupiah): string {
  return `,"cost":${formatRupiah(chargedMicro)},"cost_micro_rupiah":${chargedMicro}`;
}
