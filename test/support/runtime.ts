/** A function under the runtime within the test's own process. */
import { onTestFinished } from "vitest";
import { serve, type LifecycleLine, type RunningFunction, type ServeOptions } from "openfaas-node";

export interface TestRuntime extends RunningFunction {
  url: string;
  lines: LifecycleLine[];
}

type Given = Partial<Omit<ServeOptions, "handler" | "nodeHandler">> & Pick<ServeOptions, "handler" | "nodeHandler">;

/** Serves on a free port until the test ends; requests that are then still open are cut. */
export async function startRuntime(given: Given): Promise<TestRuntime> {
  const lines: LifecycleLine[] = [];
  const options = {
    name: "test",
    port: 0,
    hostname: "127.0.0.1",
    log: (line: LifecycleLine) => void lines.push(line),
    bodyBytesMax: 1_000,
    drainTimeoutMs: 100,
    ...given,
  };
  const running = await serve(options as ServeOptions);
  onTestFinished(() => running.stop());
  return Object.assign(running, { url: `http://127.0.0.1:${running.port}`, lines });
}

/** A stream that its test feeds by hand, and that says whether its reader went away. */
export function createSource() {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const source = {
    cancelled: false,
    stream: new ReadableStream<Uint8Array>({
      start(given) {
        controller = given;
      },
      cancel() {
        source.cancelled = true;
      },
    }),
    give: (text: string) => controller.enqueue(new TextEncoder().encode(text)),
    end: () => controller.close(),
    fail: () => controller.error(new Error("canary of a source")),
  };
  return source;
}
