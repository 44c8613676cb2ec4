/** What a person sees on the terminal. */
import type { RunningStack } from "./stack.ts";

/** Shows that a step began; the answer is called when it has ended. */
export type Progress = (step: string) => () => void;

export function createProgress(write: (text: string) => void): Progress {
  return function progress(step) {
    const beganMs = performance.now();
    write(`  ${step} `.padEnd(34, "."));
    return () => write(` ${((performance.now() - beganMs) / 1000).toFixed(1)} s\n`);
  };
}

export const silent: Progress = () => () => {};

export function readyScreen({ url, apiKey, model, backends, dashboardUrl, mailDir, dataDir, admin }: RunningStack): string {
  const consoleUrl = `${url.replace("127.0.0.1", "localhost")}/function/admin/console/`;
  return `
Epithre is ready, with ${backends}.

  Base URL     ${url}/v1
  API key      ${apiKey}
  Dashboard    ${dashboardUrl}
  Mail         ${mailDir}
  Data         ${dataDir}
  Console      ${consoleUrl}
               npm run operator -- invite NAME --data ${dataDir} --console ${consoleUrl}
  Canaries     npm run canary -- --data ${dataDir}
  OpenFaaS     faas-cli login --gateway ${url} --username ${admin.user} --password ${admin.password}

Paste into a shell:

curl ${url}/v1/chat/completions -H "authorization: Bearer ${apiKey}" -H "content-type: application/json" \\
  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'

Or into Python (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="${url}/v1", api_key="${apiKey}")
for event in client.chat.completions.create(model="${model}", messages=[{"role": "user", "content": "Hello"}], stream=True):
    print(event.choices[0].delta.content or "" if event.choices else "", end="", flush=True)

This is a development stack: its key and secrets are kept as files in the data folder. Ctrl-C stops it.
`;
}

/** One line, for programs. */
export function readyLine(stack: RunningStack): string {
  const { url, apiKey, dashboardUrl, admin, mailDir, dataDir, databaseUrl } = stack;
  return `${JSON.stringify({ ready: true, url, apiKey, dashboardUrl, admin, mailDir, dataDir, databaseUrl, pids: stack.pids() })}\n`;
}
