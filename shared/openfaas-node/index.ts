export type { LifecycleLine, ServeOptions } from "./options.ts";
export { run } from "./run.ts";
export { serve, type RunningFunction } from "./serve.ts";
