/** Reads a whole multipart/form-data body: text fields by name, and how many files came under each name. */

export interface Form {
  fields: Record<string, string>;
  files: { name: string; bytes: number }[];
}

/** `undefined` when the body is no multipart/form-data. */
export function readForm(contentType: string, body: Buffer): Form | undefined {
  const boundary = /^multipart\/form-data\s*;.*boundary="?([^";]+)"?/i.exec(contentType)?.[1];
  if (!boundary) return undefined;
  const mark = Buffer.from(`--${boundary}`);
  const form: Form = { fields: {}, files: [] };
  let at = body.indexOf(mark);
  while (at >= 0) {
    const start = at + mark.length;
    const next = body.indexOf(mark, start);
    if (next < 0) break;
    // Each part is CRLF, headers, empty line, data, CRLF.
    const headersEnd = body.indexOf("\r\n\r\n", start);
    if (headersEnd < 0 || headersEnd > next) return undefined;
    addPart(form, body.toString("utf8", start, headersEnd), body.subarray(headersEnd + 4, next - 2));
    at = next;
  }
  return form;
}

function addPart(form: Form, headers: string, data: Buffer): void {
  const name = /[;\s]name="([^"]*)"/i.exec(headers)?.[1];
  if (name === undefined) return;
  if (/filename=/i.test(headers)) form.files.push({ name, bytes: data.length });
  else form.fields[name] = data.toString("utf8");
}
