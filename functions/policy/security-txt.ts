/** How vulnerabilities are reported (RFC 9116, sec.disclosure). */

/** Days that what the file says may be relied on: it is made anew each time, and must be below a year. */
const expiresDays = 180;
const dayMs = 86_400_000;

export function securityTxt(publicUrl: string, nowMs: number): string {
  const expires = new Date(Math.floor(nowMs / dayMs + expiresDays) * dayMs).toISOString().replace(".000", "");
  return [
    '# Please write with the subject "Security disclosure".',
    "Contact: mailto:hello@epithre.com",
    `Expires: ${expires}`,
    "Preferred-Languages: en, id",
    `Canonical: ${publicUrl}/.well-known/security.txt`,
    `Policy: ${publicUrl}/policy#sec.disclosure`,
    "",
  ].join("\n");
}
