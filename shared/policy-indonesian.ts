/**
 * The policy rows in Bahasa Indonesia, by the English sentence that each translates: when a promise changes, its old
 * translation no longer matches and the page shows the English that binds, never an outdated promise.
 */
export const indonesian: Readonly<Record<string, string>> = {
  "Nothing of what you send or get back is logged or stored: no prompt, text, embedding, image, tool call, schema or hash of them.":
    "Tidak ada yang Anda kirim atau terima dicatat atau disimpan: baik prompt, teks, embedding, gambar, pemanggilan alat, skema, maupun hash-nya.",
  "Images sent to be edited are held in memory, passed to the inference engine and dropped when the answer is out.":
    "Gambar yang dikirim untuk disunting hanya ditahan di memori, diteruskan ke mesin inferensi, dan dibuang setelah jawaban terkirim.",
  "Nothing about a person is stored beyond the categories below. A new category is announced before it begins.":
    "Tidak ada data pribadi yang disimpan di luar kategori di bawah ini. Kategori baru diumumkan sebelum berlaku.",
  "Limits count the database's log and its backups: live data goes as many days earlier as backups are kept, and two more.":
    "Batas mencakup log dan cadangan basis data: data aktif dihapus lebih awal selama masa simpan cadangan, ditambah dua hari.",
  "Account data (e-mail, password hash, name if given) is kept for the life of the account, and erased after it is closed.":
    "Data akun (surel, hash kata sandi, nama jika diberikan) disimpan selama akun ada, dan dihapus setelah akun ditutup.",
  "the account is closed": "akun ditutup",
  "Of an API key its SHA-256, its first 12 characters, its name and its scopes are kept with the account; a revoked key goes.":
    "Dari kunci API disimpan SHA-256, 12 karakter pertama, nama, dan cakupannya bersama akun; kunci yang dicabut dihapus.",
  "the key is revoked": "kunci dicabut",
  "Of each call its time, model, endpoint, token counts, cost, latency and HTTP status are kept, with ids, and nothing else.":
    "Dari setiap panggilan disimpan waktu, model, endpoint, jumlah token, biaya, latensi, dan status HTTP, dengan id, tidak lebih.",
  "the call": "panggilan",
  "Billing events (top-ups, refunds, signup credits, adjustments) are kept for the books.":
    "Peristiwa penagihan (isi ulang, pengembalian dana, kredit pendaftaran, penyesuaian) disimpan untuk pembukuan.",
  "the event": "peristiwa",
  "The audit log holds actions of operators, keys made and revoked, and suspensions.":
    "Log audit memuat tindakan operator, kunci yang dibuat dan dicabut, serta penangguhan.",
  "the action": "tindakan",
  "A session is a token in the browser's local storage, the only item there.":
    "Sesi adalah satu token di penyimpanan lokal peramban, satu-satunya isi di sana.",
  login: "masuk",
  "No cookie, fingerprint, analytics, third-party tracker, advertising id or social plugin.":
    "Tanpa cookie, sidik jari peramban, analitik, pelacak pihak ketiga, id iklan, atau plugin media sosial.",
  "Account data serves to know the person, to write about the account, and to prevent abuse.":
    "Data akun dipakai untuk mengenali pemiliknya, menghubunginya tentang akun, dan mencegah penyalahgunaan.",
  "Usage data serves correct billing, and finding and answering abuse.":
    "Data pemakaian dipakai untuk penagihan yang benar, serta menemukan dan menangani penyalahgunaan.",
  "The audit log serves to find unauthorized access, and compliance audits.":
    "Log audit dipakai untuk menemukan akses tanpa izin, dan untuk audit kepatuhan.",
  "Inference runs on our own machines; no other AI provider sees a request.":
    "Inferensi berjalan di mesin kami sendiri; tidak ada penyedia AI lain yang melihat permintaan.",
  "Engines, database and storage are reachable from the private network only; the ingress alone is public.":
    "Mesin inferensi, basis data, dan penyimpanan hanya terjangkau dari jaringan privat; hanya ingress yang publik.",
  "Every server, the mail relay and the mailbox stand in Jakarta; data leaves Indonesia only as mail to an address you chose.":
    "Semua server, relai surel, dan kotak surat berada di Jakarta; data keluar dari Indonesia hanya sebagai surel ke alamat pilihan Anda.",
  "Invoices come by e-mail and are paid by bank transfer or as agreed; no payment processor sees them unless you choose one.":
    "Faktur dikirim lewat surel dan dibayar lewat transfer bank atau sesuai kesepakatan; tidak ada pemroses pembayaran yang melihatnya kecuali Anda memilihnya.",
  "Each right works by yourself, and by mail to hello@epithre.com for whoever cannot log in.":
    "Setiap hak dapat dijalankan sendiri, dan lewat surel ke hello@epithre.com bagi yang tidak dapat masuk.",
  "A copy of your account data, with the trail of its processing. The law gives us three days; we give it at once.":
    "Salinan data akun Anda, dengan jejak pemrosesannya. Hukum memberi kami tiga hari; kami memberikannya seketika.",
  "you ask": "Anda meminta",
  "Your account and all that is linked to it is erased, backups included; billing events alone are kept.":
    "Akun Anda dan semua yang terkait dihapus, termasuk cadangan; hanya peristiwa penagihan yang disimpan.",
  "You correct your e-mail or name yourself.": "Anda memperbaiki surel atau nama Anda sendiri.",
  "You download your usage log as CSV yourself.": "Anda mengunduh log pemakaian Anda sendiri sebagai CSV.",
  "API and dashboard are served over TLS 1.2 or newer.": "API dan dasbor dilayani lewat TLS 1.2 atau lebih baru.",
  "Passwords are kept as Argon2id hashes.": "Kata sandi disimpan sebagai hash Argon2id.",
  "API keys are kept as SHA-256; nobody can recover the key itself.":
    "Kunci API disimpan sebagai SHA-256; tidak seorang pun dapat memulihkan kunci aslinya.",
  'Vulnerabilities are reported to hello@epithre.com, subject "Security disclosure" (/.well-known/security.txt).':
    'Kerentanan dilaporkan ke hello@epithre.com dengan subjek "Security disclosure" (/.well-known/security.txt).',
  "Every user is told by e-mail before a material change of this policy takes effect.":
    "Setiap pengguna diberi tahu lewat surel sebelum perubahan penting kebijakan ini berlaku.",
  "the mail": "surel",

  // How each is shown to be kept.
  "the proxy cannot write files and has no database login; log lines are rebuilt from a closed schema":
    "proxy tidak dapat menulis berkas dan tidak punya akses basis data; baris log disusun ulang dari skema tertutup",
  "the proxy holds bodies under a memory budget and has no right to write files":
    "proxy menahan isi permintaan dalam jatah memori dan tidak berhak menulis berkas",
  "every column of the database is in exactly one category": "setiap kolom basis data masuk tepat satu kategori",
  "the configured backup window, and the live limits it leaves": "masa simpan cadangan yang dikonfigurasi, dan batas data aktif yang tersisa",
  "the longest that a closed account has waited": "waktu tunggu terlama akun yang sudah ditutup",
  "the oldest revoked key": "kunci tertua yang sudah dicabut",
  "the oldest usage event": "peristiwa pemakaian tertua",
  "the oldest billing event": "peristiwa penagihan tertua",
  "the oldest row of the audit log": "baris tertua log audit",
  "the expiry that is signed into the token": "masa berlaku yang ditandatangani di dalam token",
  "the page's content security policy allows its own origin only; no answer sets a cookie":
    "kebijakan keamanan konten halaman hanya mengizinkan asalnya sendiri; tidak ada jawaban yang menyetel cookie",
  "database roles: accounts, admin, billing (on documents) and notify alone reach the address":
    "peran basis data: hanya accounts, admin, billing (pada dokumen), dan notify yang menjangkau alamat",
  "database roles: usage-record writes it, export hands it to its owner, admin counts what looks like abuse":
    "peran basis data: usage-record menulisnya, export menyerahkannya kepada pemiliknya, admin menghitung yang tampak seperti penyalahgunaan",
  "database roles: it is appended to with each action, and changed by nobody":
    "peran basis data: ditambah pada setiap tindakan, dan tidak diubah oleh siapa pun",
  "engines are reached at private addresses only": "mesin inferensi hanya dijangkau di alamat privat",
  "network policies": "kebijakan jaringan",
  "operator of the servers": "operator server",
  "operator of billing": "operator penagihan",
  "operator of support": "operator dukungan",
  "the function that serves it answers": "fungsi yang melayaninya menjawab",
  "accounts that are due for erasure, and for how long": "akun yang jatuh tempo untuk dihapus, dan sudah berapa lama",
  "handshakes with the public addresses": "jabat tangan TLS dengan alamat publik",
  "the form that the database accepts": "bentuk yang diterima basis data",
  "the form that the database accepts: 32 bytes": "bentuk yang diterima basis data: 32 byte",
  "the policy function serves security.txt": "fungsi policy menyajikan security.txt",
  "the days between the last mail and the change": "jumlah hari antara surel terakhir dan perubahan",
};
