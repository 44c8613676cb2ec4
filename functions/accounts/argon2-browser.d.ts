/** What is used of argon2-browser, which brings no types: the file that has its WebAssembly inside. */
declare module "argon2-browser/dist/argon2-bundled.min.js" {
  interface Argon2 {
    ArgonType: { Argon2id: number };
    hash(task: {
      pass: string | Uint8Array;
      salt: Uint8Array;
      /** Passes. */
      time: number;
      /** KiB. */
      mem: number;
      parallelism: number;
      /** Bytes. */
      hashLen: number;
      type: number;
    }): Promise<{ hash: Uint8Array }>;
  }
  const argon2: Argon2;
  export default argon2;
}
