/**
 * Moves the secret `digest-chain` forward: reads it from standard input and writes the one that takes its place, from
 * which the keys of days that count no more cannot be made. Once a day or a week, and the former secret is destroyed:
 *
 *   node infra/rotate-digest-chain.ts < digest-chain > next && mv next digest-chain
 *
 * Proxies with the former and with the next one agree, so they can be restarted one after another (decision 0008).
 */
import { text } from "node:stream/consumers";
import { rotatedDigestChain } from "#shared/digest-chain.ts";

try {
  process.stdout.write(rotatedDigestChain((await text(process.stdin)).trim(), Date.now()));
} catch (thrown) {
  process.stderr.write(`${(thrown as Error).message}\n`);
  process.exitCode = 1;
}
