export { createBag, type Bag } from "./bag.ts";
export type { LifecycleLine, ServeOptions } from "./options.ts";
export { writeAsOne } from "./one-write.ts";
export { run } from "./run.ts";
export { serve, type RunningFunction } from "./serve.ts";
