export { run } from "./run.ts";
export { serve, type LifecycleLine, type RunningFunction, type ServeOptions } from "./serve.ts";
