/**
 * The words of each mail, in Bahasa Indonesia and English. They hold no value of a person: not even the reader's name
 * is needed. Lines of at most 76 characters go out as they are.
 */
import { exportHours } from "#shared/stored-data.ts";
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
  model_retirement: ({ model, retiresOn }) => ({
    subject: `Model ${model} akan dihentikan / The model ${model} will be retired`,
    text: `Halo,

model ${model},
yang dipakai akun Anda dalam 90 hari terakhir, akan dihentikan pada
${retiresOn} (UTC). Sejak saat itu panggilan ke model ini ditolak.

Daftar model beserta harganya: GET /v1/prices


Hello,

the model ${model},
which your account used in the last 90 days, will be retired on
${retiresOn} (UTC). From then on calls to it are refused.

The models on offer and their prices: GET /v1/prices

Epithre
`,
  }),
  low_balance: () => ({
    subject: "Saldo Epithre Anda menipis / Your Epithre balance is low",
    text: `Halo,

saldo akun Epithre Anda sudah di bawah batas yang Anda tetapkan. Permintaan
ditolak (402) bila saldo tidak lagi cukup untuk biayanya; isi ulang dari
halaman tagihan di dasbor agar itu tidak terjadi.

Surat ini dikirim sekali. Surat berikutnya baru dikirim setelah saldo
kembali mencapai batas itu lalu turun lagi. Batasnya dapat diubah atau
dihapus di halaman tagihan.


Hello,

the balance of your Epithre account is below the threshold that you set.
Requests are refused (402) once it no longer covers what they can cost; top
up on the dashboard's billing page to keep that from happening.

This mail is sent once. There will be no other until the balance has been
at the threshold again and falls anew. Change or remove the threshold on
the billing page.

Epithre
`,
  }),
  invoice: () => ({
    subject: "Faktur isi ulang kredit Epithre / Your Epithre invoice",
    text: `Halo,

terlampir faktur untuk isi ulang kredit API yang Anda minta. Transfer tepat
sejumlah totalnya ke rekening di faktur, dengan nomor faktur sebagai
berita. Setelah transfer kami terima, saldo Anda bertambah dan kuitansinya
kami kirim lewat surel.

Bila Anda tidak jadi membayar, faktur ini dapat dibatalkan di dasbor.


Hello,

attached is the invoice for the top-up of API credit that you asked for.
Please transfer exactly its total to the account on the invoice, with the
invoice's number as reference. Once we have the transfer your balance
rises, and the receipt comes by e-mail.

If you do not want to pay after all, cancel the invoice on the dashboard.

Epithre
`,
  }),
  receipt: () => ({
    subject: "Kuitansi pembayaran Epithre / Your Epithre receipt",
    text: `Halo,

pembayaran Anda sudah kami terima dan kreditnya sudah ditambahkan ke saldo
Anda. Kuitansinya terlampir. Terima kasih.


Hello,

we have received your payment and added the credit to your balance. The
receipt is attached. Thank you.

Epithre
`,
  }),
  statement: ({ month }) => ({
    subject: `Laporan bulanan Epithre ${month} / Your Epithre statement ${month}`,
    text: `Halo,

terlampir laporan bulanan akun Epithre Anda untuk ${month}, sebagai PDF dan
CSV: saldo awal, isi ulang dan peristiwa lain, pemakaian menurut model, dan
saldo akhir.

Kami tidak menyimpan laporan ini. Selama data pemakaiannya masih ada, yaitu
sampai 90 hari, laporan yang sama dapat diunduh di halaman tagihan di
dasbor; setelah itu tidak lagi. Simpanlah bila Anda memerlukannya.


Hello,

attached is the monthly statement of your Epithre account for ${month}, as
PDF and CSV: opening balance, top-ups and other events, usage by model, and
closing balance.

We keep no copy. As long as the usage data is there, which is up to 90
days, the same statement can be downloaded on the dashboard's billing page;
not afterwards. Keep it if you need it.

Epithre
`,
  }),
  verify_email: ({ link }) => ({
    subject: "Konfirmasi alamat surel Anda / Confirm your e-mail address",
    text: `Halo,

alamat ini dipakai untuk membuat akun Epithre. Buka tautan berikut dalam
24 jam, lalu masukkan kata sandi yang dipilih saat mendaftar:

${link}

Bila bukan Anda yang mendaftar, abaikan surat ini: tanpa konfirmasi, akun
itu ditutup dan dihapus dengan sendirinya.


Hello,

this address was used to sign up for Epithre. Open the link above within
24 hours, and enter the password that was chosen at the signup.

If it was not you, do nothing: without the confirmation the account is
closed and erased by itself.

Epithre
`,
  }),
  already_registered: ({ link }) => ({
    subject: "Anda sudah punya akun Epithre / You already have an Epithre account",
    text: `Halo,

seseorang memakai alamat ini untuk mendaftar atau untuk mengganti alamat
akunnya, padahal alamat ini sudah punya akun Epithre. Tidak ada yang
berubah. Bila itu Anda, masuklah di sini, atau atur ulang kata sandi:

${link}


Hello,

somebody used this address to sign up, or to change the address of an
account, but it has an Epithre account already. Nothing has changed. If it
was you, log in by the link above, or reset the password there.

Epithre
`,
  }),
  reset_password: ({ link }) => ({
    subject: "Atur ulang kata sandi Epithre / Reset your Epithre password",
    text: `Halo,

untuk memilih kata sandi baru, buka tautan berikut dalam satu jam:

${link}

Bila bukan Anda yang meminta, abaikan surat ini: kata sandi tetap sama.


Hello,

to choose a new password, open the link above within an hour. It works
once.

If it was not you who asked, do nothing: the password stays as it is.

Epithre
`,
  }),
  password_changed: ({ link }) => ({
    subject: "Kata sandi Epithre Anda diganti / Your Epithre password was changed",
    text: `Halo,

kata sandi akun Epithre Anda baru saja diganti, dan semua sesi lain
diakhiri. Bila bukan Anda, segera atur ulang kata sandi di sini dan cabut
kunci API yang tidak Anda kenal:

${link}


Hello,

the password of your Epithre account was changed just now, and all other
sessions have ended. If it was not you, reset the password by the link
above at once, and revoke API keys that you do not know.

Epithre
`,
  }),
  change_email: ({ link }) => ({
    subject: "Konfirmasi alamat surel baru / Confirm your new e-mail address",
    text: `Halo,

alamat ini diminta sebagai alamat baru sebuah akun Epithre. Buka tautan
berikut dalam 24 jam sejak permintaan itu; setelah itu barulah berlaku:

${link}

Bila bukan Anda yang meminta, abaikan surat ini.


Hello,

this address was asked for as the new one of an Epithre account. Open the
link above within 24 hours of that; only then does it count.

If it was not you who asked, do nothing.

Epithre
`,
  }),
  email_change_asked: ({ link }) => ({
    subject: "Permintaan ganti alamat surel / A change of your e-mail address was asked for",
    text: `Halo,

dengan kata sandi Anda, diminta agar akun Epithre Anda memakai alamat surel
lain. Alamat itu berlaku setelah dikonfirmasi. Bila bukan Anda, segera atur
ulang kata sandi di sini: permintaan itu batal karenanya.

${link}


Hello,

with your password, another e-mail address was asked for your Epithre
account. It counts once it is confirmed. If it was not you, reset the
password by the link above at once: that ends the change too.

Epithre
`,
  }),
  account_deleted: ({ link }) => ({
    subject: "Akun Epithre Anda ditutup / Your Epithre account is closed",
    text: `Halo,

sesuai permintaan, akun Epithre Anda ditutup: kunci API dan sesi sudah tidak
berlaku. Setelah 7 hari akun ini dihapus bersama semua yang terkait, paling
lambat 30 hari kemudian juga dari cadangan. Yang tetap disimpan hanyalah
catatan tagihan (7 tahun), dan catatan audit yang tidak menyebut siapa pun.

Bila berubah pikiran, atau bila bukan Anda, buka kembali dalam 7 hari:

${link}


Hello,

as asked, your Epithre account is closed: its API keys and sessions have
ended. After 7 days it is erased with all that is linked to it, and within
30 days of now from backups too. Only billing records stay (7 years), and
audit records that name nobody.

If you change your mind, or if it was not you, open the account again by the
link above within 7 days.

Epithre
`,
  }),
  export_ready: ({ link }) => ({
    subject: "Berkas catatan pemakaian Anda sudah siap / Your usage log is ready",
    text: `Halo,

berkas catatan pemakaian yang Anda minta sudah siap diunduh. Masuklah ke
dasbor untuk mengambilnya:

${link}

Berkas itu dihapus ${exportHours} jam setelah diminta.


Hello,

the file of your usage log that you asked for is ready. Log in to the
dashboard by the link above to download it.

The file is deleted ${exportHours} hours after it was asked for.

Epithre
`,
  }),
};
