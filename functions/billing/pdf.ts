/**
 * A4 documents for bookkeepers, in Bahasa Indonesia and English: letterhead, facts, tables that go on over pages, sums,
 * and a foot with the page's number. None is stored: the same input gives the same bytes, so each is made when asked for.
 */
import { PDFDocument, type PDFFont, type PDFPage, type RGB, rgb, StandardFonts } from "@cantoo/pdf-lib";

/** Bahasa Indonesia, which stands first, and English. */
export interface Words {
  id: string;
  en: string;
}

export interface Fact {
  label: Words;
  value: string | Words;
}

/** `share` is the part of the page's width; the shares of a table sum to 1. */
export interface Column {
  title: Words;
  share: number;
  align: "left" | "right";
}

export interface Sum {
  label: Words;
  value: string;
  /** The one that counts. */
  strong?: boolean;
}

export interface DocumentOptions {
  title: Words;
  /** At the foot of each page, such as the invoice's number. */
  reference: string;
  /** Who issues it: the name, then lines of address and tax number. */
  issuer: readonly string[];
  /** What the file says about its making, whenever it is made. */
  madeAt: Date;
}

/** Draws from top to bottom, and begins a page where the last one is full. */
export interface Sheet {
  /** Small labels over values, up to four beside each other. */
  facts(facts: readonly Fact[]): void;
  /** A title over lines, such as who a bill is for. A line of which the fonts have no character is left out. */
  lines(title: Words, lines: readonly string[]): void;
  table(columns: readonly Column[], rows: readonly (string | Words)[][]): void;
  /** Under a table, at the right. */
  sums(sums: readonly Sum[]): void;
  /** Facts in a coloured box, one below the other: what the reader is to do. */
  box(title: Words, facts: readonly Fact[]): void;
  note(words: Words): void;
  bytes(): Promise<Uint8Array>;
}

/** Points, 72 to an inch: A4. */
const page = { width: 595.28, height: 841.89, margin: 50, foot: 70 };
const contentWidth = page.width - 2 * page.margin;
const right = page.width - page.margin;

const ink = rgb(0.08, 0.13, 0.1);
const soft = rgb(0.36, 0.42, 0.39);
const line = rgb(0.8, 0.84, 0.82);
const accent = rgb(0.04, 0.42, 0.27);
const tint = rgb(0.93, 0.97, 0.95);
const white = rgb(1, 1, 1);

const text = 9.5;
const small = 8;
/** Distance of lines, by the size of the letters. */
const leading = 1.35;

/** Facts beside each other in one row. */
const factsPerRow = 4;

const markShape = "M8 0H24a8 8 0 0 1 8 8v16a8 8 0 0 1-8 8H8a8 8 0 0 1-8-8V8a8 8 0 0 1 8-8Z";
const markLetter = "M4 16h21.5a9.5 9.5 0 1 0-3.2 7.1";

/** Letters of Latin names that the fonts lack and Unicode does not take apart. */
const strokeless: Record<string, string> = { Ł: "L", ł: "l", Đ: "D", đ: "d", Ħ: "H", ħ: "h", ı: "i" };

interface Style {
  font: PDFFont;
  size: number;
  color: RGB;
}

export async function createSheet({ title, reference, issuer, madeAt }: DocumentOptions): Promise<Sheet> {
  const document = await PDFDocument.create({ updateMetadata: false });
  document.setTitle(`${title.id} ${reference}`);
  document.setAuthor(issuer[0]!);
  document.setLanguage("id");
  document.setCreationDate(madeAt);
  document.setModificationDate(madeAt);
  const regular = document.embedStandardFont(StandardFonts.Helvetica);
  const bold = document.embedStandardFont(StandardFonts.HelveticaBold);
  const known = new Set(regular.getCharacterSet());
  const body: Style = { font: regular, size: text, color: ink };
  const strong: Style = { font: bold, size: text, color: ink };
  const faint: Style = { font: regular, size: small, color: soft };
  const label: Style = { font: bold, size: small, color: soft };

  let current: PDFPage;
  /** Where the next thing begins, counted from the page's lower edge. */
  let y = 0;

  function begin(): void {
    current = document.addPage([page.width, page.height]);
    y = page.height - page.margin;
  }

  /** Answers whether a page was begun. */
  function need(height: number): boolean {
    if (y - height >= page.foot) return false;
    begin();
    return true;
  }

  /** The standard fonts have Latin letters only: others lose their accents, or become question marks. */
  function drawable(value: string): string {
    return Array.from(value.normalize("NFC").replaceAll(/\s/g, " "), (letter) => {
      const plain = [letter, letter.normalize("NFKD")[0]!, strokeless[letter]].find((each) => each && known.has(each.codePointAt(0)!));
      return plain ?? "?";
    }).join("");
  }

  /** Broken at spaces, and within words that are wider than a line. */
  function wrap(value: string, { font, size }: Style, width: number): string[] {
    const fits = (part: string) => font.widthOfTextAtSize(part, size) <= width;
    const lines = [""];
    for (const word of drawable(value).split(" ")) {
      const longer = lines.at(-1) === "" ? word : `${lines.at(-1)} ${word}`;
      if (fits(longer)) {
        lines[lines.length - 1] = longer;
        continue;
      }
      if (lines.at(-1) !== "") lines.push("");
      for (const letter of word) {
        if (!fits(lines.at(-1) + letter)) lines.push("");
        lines[lines.length - 1] += letter;
      }
    }
    return lines;
  }

  function write(value: string, style: Style, x: number, baseline: number): void {
    current.drawText(value, { x, y: baseline, font: style.font, size: style.size, color: style.color });
  }

  interface Line extends Style {
    value: string;
  }

  /** A cell's lines: of a value in both languages the English ones stand below, fainter. */
  function linesOf(value: string | Words, style: Style, width: number): Line[] {
    const main = wrap(typeof value === "string" ? value : value.id, style, width).map((each) => ({ value: each, ...style }));
    if (typeof value === "string" || value.en === value.id) return main;
    return [...main, ...wrap(value.en, faint, width).map((each) => ({ value: each, ...faint }))];
  }

  const heightOf = (lines: readonly Line[]) => lines.reduce((sum, { size }) => sum + size * leading, 0);

  function draw(lines: readonly Line[], x: number, width: number, align: Column["align"] = "left", top = y): void {
    let at = top;
    for (const each of lines) {
      at -= each.size * leading;
      const indent = align === "left" ? 0 : width - each.font.widthOfTextAtSize(each.value, each.size);
      write(each.value, each, x + indent, at + each.size * (leading - 1));
    }
  }

  function rule(color: RGB, thickness = 0.6, from = page.margin): void {
    current.drawLine({ start: { x: from, y }, end: { x: right, y }, thickness, color });
  }

  const inOneLine = ({ id, en }: Words) => (id === en ? id : `${id} / ${en}`);

  function letterhead(): void {
    const mark = { x: page.margin, y, scale: 1.1 };
    current.drawSvgPath(markShape, { ...mark, color: accent });
    current.drawSvgPath(markLetter, { ...mark, borderColor: white, borderWidth: 3.6 });
    const from = page.margin + 48;
    const half = contentWidth / 2;
    const sender = issuer.flatMap((each, index) => linesOf(each, index === 0 ? { ...strong, size: 12 } : faint, half));
    draw(sender, from, half);
    const heading: Style = { font: bold, size: 22, color: accent };
    const name = [...linesOf(title.id, heading, half - 60), ...linesOf(title.en, { ...faint, size: 11 }, half - 60)];
    draw(name, right - half + 60, half - 60, "right");
    y -= Math.max(heightOf(sender), heightOf(name), 36) + 14;
    rule(accent, 1.2);
    y -= 18;
  }

  function facts(all: readonly Fact[]): void {
    for (let first = 0; first < all.length; first += factsPerRow) {
      const row = all.slice(first, first + factsPerRow);
      const width = contentWidth / factsPerRow;
      const cells = row.map(({ label: name, value }) => [
        ...linesOf(inOneLine(name), label, width - 10),
        ...linesOf(value, strong, width - 10),
      ]);
      const height = Math.max(...cells.map(heightOf));
      need(height);
      for (const [index, cell] of cells.entries()) draw(cell, page.margin + index * width, width);
      y -= height + 14;
    }
  }

  function lines(heading: Words, values: readonly string[]): void {
    const shown = values.filter((value) => /[^?\s]/.test(drawable(value)));
    const all = [
      ...linesOf(inOneLine(heading), label, contentWidth),
      ...shown.flatMap((value, index) => linesOf(value, index === 0 ? strong : body, contentWidth)),
    ];
    need(heightOf(all));
    draw(all, page.margin, contentWidth);
    y -= heightOf(all) + 16;
  }

  function table(columns: readonly Column[], rows: readonly (string | Words)[][]): void {
    const gap = 8;
    const places = columns.map(({ share, align }, index) => ({
      x: page.margin + contentWidth * columns.slice(0, index).reduce((sum, each) => sum + each.share, 0),
      width: contentWidth * share - (index === columns.length - 1 ? 0 : gap),
      align,
    }));
    const row = (values: readonly (string | Words)[], style: Style) =>
      values.map((value, index) => linesOf(value, style, places[index]!.width));
    const drawRow = (cells: Line[][]) => {
      for (const [index, { x, width, align }] of places.entries()) draw(cells[index]!, x, width, align, y - 5);
      y -= Math.max(...cells.map(heightOf)) + 10;
    };
    const drawHead = () => {
      drawRow(row(columns.map((column) => column.title), { ...label, color: ink }));
      rule(ink, 0.9);
    };
    need(90);
    drawHead();
    for (const values of rows) {
      const cells = row(values, body);
      if (need(Math.max(...cells.map(heightOf)) + 10)) drawHead();
      drawRow(cells);
      rule(line);
    }
    y -= 6;
  }

  function sums(all: readonly Sum[]): void {
    const from = page.margin + contentWidth * 0.4;
    const width = right - from;
    const rows = all.map(({ label: name, value, strong: counts }) => {
      const style = counts ? { ...strong, size: 12 } : body;
      return { name: linesOf(name, style, width * 0.62), value: linesOf(value, style, width), counts };
    });
    const heightOfRow = ({ name }: (typeof rows)[number]) => heightOf(name) + 8;
    // On one page all of them: nobody adds up over two.
    need(rows.reduce((sum, row) => sum + heightOfRow(row), 2));
    for (const row of rows) {
      if (row.counts) rule(ink, 0.9, from);
      draw(row.name, from, width * 0.62, "left", y - 4);
      draw(row.value, from, width, "right", y - 4);
      y -= heightOfRow(row);
    }
    y -= 12;
  }

  function box(heading: Words, all: readonly Fact[]): void {
    const padding = 12;
    const column = contentWidth * 0.36;
    const rows = all.map(({ label: name, value }) => ({
      name: linesOf(inOneLine(name), { ...faint, size: 8.5 }, column - padding),
      value: linesOf(value, strong, contentWidth - column - 2 * padding),
    }));
    const heights = rows.map(({ name, value }) => Math.max(heightOf(name), heightOf(value)) + 4);
    const title = linesOf(inOneLine(heading), { ...strong, color: accent }, contentWidth - 2 * padding);
    const height = heightOf(title) + 6 + heights.reduce((sum, each) => sum + each, 0) + 2 * padding;
    need(height);
    current.drawRectangle({ x: page.margin, y: y - height, width: contentWidth, height, color: tint });
    current.drawRectangle({ x: page.margin, y: y - height, width: 3, height, color: accent });
    let at = y - padding;
    draw(title, page.margin + padding, contentWidth, "left", at);
    at -= heightOf(title) + 6;
    for (const [index, { name, value }] of rows.entries()) {
      draw(name, page.margin + padding, column, "left", at);
      draw(value, page.margin + column, contentWidth, "left", at);
      at -= heights[index]!;
    }
    y -= height + 16;
  }

  function note({ id, en }: Words): void {
    const all = [...linesOf(id, { ...body, size: small + 0.5 }, contentWidth), ...linesOf(en, faint, contentWidth)];
    need(heightOf(all));
    draw(all, page.margin, contentWidth);
    y -= heightOf(all) + 8;
  }

  function foot(): void {
    const pages = document.getPages();
    for (const [index, each] of pages.entries()) {
      current = each;
      y = page.foot - 14;
      rule(line);
      y -= 4;
      draw(linesOf(`${issuer[0]} - ${reference}`, faint, contentWidth * 0.6), page.margin, contentWidth);
      const number = `Halaman ${index + 1} dari ${pages.length} / Page ${index + 1} of ${pages.length}`;
      draw(linesOf(number, faint, contentWidth), page.margin, contentWidth, "right");
    }
  }

  begin();
  letterhead();
  return {
    facts, lines, table, sums, box, note,
    bytes() {
      foot();
      return document.save();
    },
  };
}

/** `1234567.891` rupiah with 2 decimals -> `Rp1.234.567,89`, rounded half away from zero. */
export function printRupiah(micro: bigint, decimals = 0): string {
  const unit = 10n ** BigInt(6 - decimals);
  const absolute = micro < 0n ? -micro : micro;
  const digits = ((absolute + unit / 2n) / unit).toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals).replaceAll(/\B(?=(\d{3})+$)/g, ".");
  const fraction = decimals === 0 ? "" : `,${digits.slice(-decimals)}`;
  return `${micro < 0n && /[1-9]/.test(digits) ? "-" : ""}Rp${whole}${fraction}`;
}

/** The day in Jakarta: `25 November 2026`, in each language's names. */
export function printDay(time: Date): Words {
  const day = (language: string) =>
    new Intl.DateTimeFormat(language, { day: "numeric", month: "long", year: "numeric", timeZone: "Asia/Jakarta" }).format(time);
  return { id: day("id-ID"), en: day("en-GB") };
}
