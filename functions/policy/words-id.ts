import type { Finding, FindingCode } from "./findings.ts";
import type { Words } from "./words.ts";

type Say = Parameters<Words["finding"]>[1];

const findings: Record<FindingCode, (finding: Required<Finding>, say: Say) => string> = {
  evidence_missing: () => "Belum ada yang dapat diukur: basis data belum menjawab. Apakah janji ini ditepati belum diketahui.",
  evidence_old: ({ hours }, { span }) => `Diukur ${span(hours)} lalu, terlalu lama untuk diperhitungkan. Apa yang terjadi sejak itu tidak diketahui.`,
  not_measured: () => "Belum ada pengukurannya di sini. Janjinya tetap berlaku; buktinya masih terutang.",
  past_limit: ({ store, hours }, say) => `${say.store(store)}: yang tertua melewati batas ${say.span(hours)}. Data disimpan lebih lama daripada yang dijanjikan.`,
  store_unseen: ({ store }, say) => `${say.store(store)}: tidak ada yang menghitungnya, jadi umurnya tidak diketahui.`,
  purge_never: () => "Proses penghapusan belum pernah selesai. Sejauh ini belum ada yang dihapus terjadwal.",
  purge_gap: ({ hours }, { span }) => `Proses penghapusan terakhir terlihat ${span(hours)} lalu. Setelah 48 jam ia berhenti sendiri sampai operator memeriksanya; sampai saat itu tidak ada yang dihapus.`,
  purge_refused: () => "Proses penghapusan berhenti sendiri setelah jeda lebih dari 48 jam, dan menunggu operator memeriksa jam. Sampai saat itu tidak ada yang dihapus.",
  purge_window: ({ days }) => `Penghapusan berjalan ${days} hari lebih awal demi cadangan, tidak sama dengan yang diterbitkan di sini. Salinan di cadangan dapat melewati batas.`,
  purge_limit: ({ store, days }, say) => `${say.store(store)}: proses penghapusan terakhir memakai ${days} hari, bukan batas kebijakan.`,
  purge_step: ({ store }, say) => `${say.store(store)}: tidak diperiksa oleh proses penghapusan terakhir.`,
  erasure_late: ({ count, hours }, { span }) => `${count} akun tertutup menunggu penghapusan, yang pertama sudah ${span(hours)} sejak jatuh tempo. Akan terlambat jika tidak ada yang bertindak.`,
  audit_never: () => "Log audit belum disegel. Perubahan padanya tidak dapat ditunjukkan.",
  audit_unsealed: ({ hours }, { span }) => `Log audit terakhir disegel ${span(hours)} lalu. Perubahan atas yang datang sesudahnya tidak dapat ditunjukkan.`,
  audit_changeable: ({ count }) => `${count} peran basis data dapat mengubah baris log audit; seharusnya tidak ada.`,
  columns_unknown: ({ count }) => `${count} kolom basis data tidak masuk kategori mana pun dari kebijakan.`,
  rule_missing: () => "Basis data tidak lagi memeriksa bentuknya: yang disimpan mungkin sesuatu yang lain.",
  canary_hits: ({ count }) => `Pemindaian terakhir menemukan kata sisipan ${count} kali: isi tersimpan di tempat yang tidak boleh.`,
  canary_blind: () => "Pemindaian terakhir tidak menemukan semua kontrolnya sendiri, jadi hasil kosong tidak membuktikan apa pun.",
  canary_old: ({ hours }, { span }) => `Pemindaian kata sisipan terakhir ${span(hours)} lalu, terlalu lama untuk diperhitungkan.`,
  function_silent: () => "Fungsi yang melayaninya sedang tidak menjawab.",
  attestation_missing: () => "Belum ada operator yang menyatakannya. Perangkat lunak tidak dapat melihatnya, jadi belum terbukti sampai ada yang menyatakan.",
  attestation_expired: ({ hours }, { span }) => `Pernyataan operator berakhir ${span(hours)} lalu dan tidak diperbarui.`,
  attestation_other: () => "Pernyataan operator dibuat untuk bunyi lama dari janji ini.",
};

export const indonesian: Words = {
  title: "Apa yang Epithre janjikan, dan apakah ditepati",
  description: "Kebijakan privasi Epithre sebagai data: setiap janji, cara menepatinya, dan bukti yang diukur sekarang.",
  skip: "Langsung ke halaman",
  languageLabel: "Bahasa",
  nav: { policy: "Kebijakan", status: "Status", dashboard: "Dasbor" },
  hero: {
    allKept: "Setiap janji ditepati, dan terbukti.",
    someRed: (red) => `${red} janji tidak ditepati, atau belum terbukti.`,
    lede: "Tabel yang menghapus data, pengujian, dan halaman ini membaca janji yang sama. Yang hijau baru saja diukur, ditegakkan oleh konfigurasi, atau belum lama dinyatakan oleh operator. Selebihnya merah, dengan alasannya.",
    measured: (ago) => `Diukur ${ago}`,
    never: "Belum diukur",
  },
  states: { kept: "Ditepati", unproven: "Belum terbukti", broken: "Tidak ditepati" },
  kinds: { measured: "Diukur", configured: "Ditegakkan oleh konfigurasi", attested: "Dinyatakan oleh operator" },
  kindNotes: {
    measured: "oleh fungsi ini sendiri, yang hanya dapat membaca: yang menghapus data tidak dapat menulis atau mengganti apa yang tampil di sini",
    configured: "yang menegakkannya tertulis di sampingnya, dan pengujian membuktikannya",
    attested: "yang tidak dapat dilihat perangkat lunak, seperti letak sebuah mesin; ada masa berlakunya",
  },
  groups: {
    content: "Yang Anda kirim dan terima", keep: "Yang disimpan, sampai kapan", track: "Pelacakan", use: "Untuk apa data dipakai", path: "Jalan sebuah permintaan",
    place: "Di mana semuanya berada", pay: "Pembayaran", right: "Hak Anda", sec: "Keamanan", change: "Perubahan kebijakan ini",
  },
  finding: (finding, say) => findings[finding.code](finding as Required<Finding>, say),
  stores: {
    usage_events: "Peristiwa pemakaian", api_keys: "Kunci API yang dicabut", audit_log: "Log audit", outbox: "Surel yang menunggu", billing_events: "Peristiwa penagihan",
    invoices: "Faktur belum dibayar, sejak jatuh tempo", idempotency_claims: "Kunci idempotensi", account_tokens: "Token surel, sejak kedaluwarsa", persons: "Alamat baru yang tidak dikonfirmasi",
    operators: "Operator yang dinonaktifkan", operator_sessions: "Sesi operator, sejak kedaluwarsa", operator_invites: "Undangan operator, sejak kedaluwarsa", throttles: "Pembatasan laju, sejak berakhir", usage_exports: "Log pemakaian sebagai berkas",
    purge_runs: "Catatan proses penghapusan", accounts: "Akun tertutup",
  },
  live: {
    title: "Saat ini",
    purge: "Proses penghapusan terakhir", purgeNone: "belum ada", purgeNote: "Berjalan setiap jam, dan berhenti sendiri bila 48 jam berlalu tanpanya.",
    erasures: "Penghapusan akun jatuh tempo", erasuresNone: "tidak ada", erasuresOldest: (span) => `yang pertama sejak ${span}`, erasuresNote: (days) => `Akun dihapus ${days} hari setelah ditutup; cadangan menyusul dalam 30 hari yang dijanjikan.`,
    canary: "Pemindaian kata sisipan terakhir", canaryNone: "belum ada", canaryNote: "Permintaan dengan kata acak dikirim lewat API publik, lalu setiap penyimpanan dicari untuk kata itu.",
    canaryHits: (hits) => (hits === 0 ? "tidak menemukan apa pun" : `menemukan ${hits}`),
    canaryDetail: (bytes, searched, controls, not) => `${bytes} di ${searched} penyimpanan, kontrol ditemukan di ${controls}; ${not} penyimpanan tidak dapat dicari.`,
    audit: "Log audit", auditNone: "belum disegel", auditRows: (rows) => `${rows} baris hari ini`,
    versions: "Yang berjalan", policyVersion: "Kebijakan", release: "Rilis", migration: "Skema",
    backups: "Cadangan", backupsNone: "tidak ada", backupsWindow: (days) => `${days} hari`, backupsNote: (early) => (early === 0 ? "Tidak ada yang bertahan di cadangan setelah barisnya hilang." : `Data aktif dihapus ${early} hari sebelum batasnya, agar hilang dari setiap cadangan tepat waktu.`),
  },
  retention: {
    title: "Yang tertua dari setiap jenis", lede: "Dihitung di basis data oleh peran yang hanya dapat membaca, terhadap batas data di sana.",
    store: "Data", oldest: "Tertua", live: "Batas di sini", promised: "Dijanjikan", margin: "Sisa waktu", none: "tidak ada",
    ofBackups: (span) => `dikurangi ${span} demi cadangan`, past: (span) => `${span} terlalu tua`,
  },
  promises: { title: "Janji-janji", lede: "Masing-masing punya pengujian yang menyebut namanya.", limit: "Batas", tests: (id) => `pengujian: cari “${id}” di test/` },
  statements: { title: "Pernyataan operator", lede: "Tentang yang tidak dapat dilihat perangkat lunak. Siapa yang menyatakan ada di log audit; di sini dalam peran apa.", role: "Peran", stated: "Dinyatakan", expires: "Berakhir", none: "belum dinyatakan" },
  versions: { title: "Versi", inForce: (version, date) => `Versi ${version} berlaku sejak ${date}.` },
  verify: {
    title: "Periksa sendiri", lede: "Buktinya ditandatangani. Simpan salinannya, dan periksa luring hanya dengan repositori ini dan Node:",
    evidence: "Bukti, ditandatangani", keys: "Kunci publik", data: "Kebijakan sebagai data", status: "Status", disclosure: "Laporkan kerentanan",
  },
  rights: { title: "Bagi yang tidak dapat masuk", text: "Akses, perbaikan, dan penghapusan juga dapat lewat surel:" },
  footer: "Halaman ini tidak menyetel cookie, tidak menjalankan skrip, dan tidak memuat apa pun dari mana pun.",
  status: {
    title: "Status", description: "Apa dari Epithre yang berfungsi saat ini.", up: "Semuanya berfungsi.", degraded: "Ada yang tidak berfungsi.",
    lede: "Keadaan sekarang, tanpa riwayat. Tidak ada yang menyangkut siapa pun di sini.", checked: (time) => `Diperiksa ${time}`, functions: "Fungsi",
    engines: "Mesin inferensi", enginesNote: "yang menerima panggilan, menurut panggilan terakhir", enginesUnknown: "tidak diketahui", enginesUp: (up, all) => `${up} dari ${all}`, database: "Basis data",
    states: { up: "berfungsi", away: "tidak menjawab" },
    purposes: {
      proxy: "API", "key-auth": "kunci dan batas", "usage-record": "pembebanan biaya", billing: "saldo, harga, faktur", accounts: "pendaftaran, masuk, kunci, data Anda", export: "log pemakaian",
      dashboard: "aplikasi web", notify: "surel", purge: "penghapusan terjadwal", reconcile: "biaya di samping hitungan mesin", "audit-seal": "segel log audit", admin: "operator",
    },
  },
};
