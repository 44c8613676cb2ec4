import { defineConfig } from "vitest/config";

/** What calls the whole product: one stack for all of these files, one file after another. */
const stackTests = ["test/sdk/**/*.test.ts", "test/main-job/**/*.test.ts"];

export default defineConfig({
  test: {
    // Tests use real servers and processes: a busy machine with 2 cores needs room.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "parts",
          include: ["test/**/*.test.ts"],
          // test/system/run starts those with node:test, and what they talk to.
          exclude: [...stackTests, "test/system/**"],
          globalSetup: ["test/support/global-setup.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "stack",
          include: stackTests,
          globalSetup: ["test/support/shared-stack-setup.ts"],
          fileParallelism: false,
          // Not beside the parts: a second within which a key must stop is no measure on a machine that runs other tests.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
