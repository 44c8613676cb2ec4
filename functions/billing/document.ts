/** A file that is made when it is asked for, and kept nowhere. */
export interface Document {
  filename: string;
  contentType: string;
  bytes: Uint8Array;
}

export function asDownload({ filename, contentType, bytes }: Document): Response {
  return new Response(new Blob([bytes as Uint8Array<ArrayBuffer>]), {
    headers: { "content-type": contentType, "content-disposition": `attachment; filename="${filename}"` },
  });
}
