/**
 * The words of each mail, in Bahasa Indonesia and English. They hold no value of a person: not even the reader's name
 * is needed. Lines of at most 76 characters go out as they are.
 */
import type { About, MailTemplate } from "./schema.ts";

export interface Words {
  subject: string;
  text: string;
}

export const templates: Record<MailTemplate, (about: About) => Words> = {
  welcome: () => ({
    subject: "Akun Epithre Anda sudah dibuka / Your Epithre account is open",
    text: `Halo,

akun Epithre untuk alamat ini sudah dibuka. Kunci API Anda kami berikan
secara terpisah; kunci itu hanya ditampilkan sekali, dan yang kami simpan
hanya SHA-256-nya.

Kami tidak menyimpan isi permintaan maupun jawaban. Data lain yang kami
simpan, dan sampai kapan, tercantum di kebijakan privasi. Bila Anda tidak
meminta akun ini, balas surat ini dan kami akan menghapusnya.


Hello,

an Epithre account was opened for this address. You are given your API
key separately; it is shown once, and all that we keep of it is its
SHA-256.

Nothing of what you send or get back is stored. What else is kept, and
until when, is in the privacy policy. If you did not ask for this account,
answer this mail and we will erase it.

Epithre
`,
  }),
};
