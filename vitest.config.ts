import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    // Tests use real servers and processes: a busy machine with 2 cores needs room.
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
