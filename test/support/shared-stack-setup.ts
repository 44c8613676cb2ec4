/** One stack for all test files that only call it: vitest runs this once, before them. */
import type { TestProject } from "vitest/node";
import { startStack, type OwnedStack, type ReadyLine } from "./stack.ts";

declare module "vitest" {
  export interface ProvidedContext {
    stack: ReadyLine;
  }
}

let stack: OwnedStack | undefined;

export async function setup(project: TestProject): Promise<void> {
  stack = await startStack();
  const { ready, url, apiKey, dashboardUrl, admin, mailDir, dataDir, databaseUrl, pids } = stack;
  project.provide("stack", { ready, url, apiKey, dashboardUrl, admin, mailDir, dataDir, databaseUrl, pids });
}

export async function teardown(): Promise<void> {
  await stack?.stop();
}
