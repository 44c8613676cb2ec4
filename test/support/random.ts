/** Numbers from 0 to 1 that are the same in each run (Park and Miller's generator). */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}
