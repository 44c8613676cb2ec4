/** Image requests: JSON for generations, multipart for edits and variations; each picture is one small PNG. */
import type { Behaviour } from "./behaviour.ts";
import type { Json } from "./generation.ts";
import { readForm } from "./multipart.ts";
import { png } from "./png.ts";
import { Refusal } from "./refusal.ts";

const imagesMax = 10;

export interface ImageRequest {
  model: string;
  prompt: string;
  images: number;
}

export function generationRequest(body: Json): ImageRequest {
  return checked(String(body.model ?? ""), body.prompt, body.n, true);
}

export function formRequest(contentType: string, body: Buffer, promptNeeded: boolean): ImageRequest {
  const form = readForm(contentType, body);
  if (!form) throw new Refusal(400, "Expected multipart/form-data");
  if (!form.files.some(({ name, bytes }) => /^image(\[\d*\])?$/.test(name) && bytes > 0)) throw new Refusal(400, "Field required", "image");
  return checked(form.fields.model ?? "", form.fields.prompt, form.fields.n === undefined ? undefined : Number(form.fields.n), promptNeeded);
}

function checked(model: string, prompt: unknown, n: unknown, promptNeeded: boolean): ImageRequest {
  if (promptNeeded && (typeof prompt !== "string" || prompt === "")) throw new Refusal(400, "Field required", "prompt");
  const images = n ?? 1;
  if (!Number.isInteger(images) || (images as number) < 1 || (images as number) > imagesMax) throw new Refusal(400, "n must be between 1 and 10", "n");
  return { model, prompt: typeof prompt === "string" ? prompt : "", images: images as number };
}

export function imagesBody({ prompt, images }: ImageRequest, behaviour: Behaviour, created: number): string {
  const picture = png(behaviour.echo ? prompt : "simulated");
  const data = Array.from({ length: images }, () => `{"b64_json":"${picture}"}`);
  return `{"created":${created},"data":[${data.join(",")}]}`;
}
