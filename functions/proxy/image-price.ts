/**
 * Images are priced by size and quality. A line of a price counts for what it names; where several do, the one that
 * names both counts first, then the one that names the size. What no line names has the price itself.
 */
import type { Price } from "../billing/schema.ts";

/** `null` leaves the choice to the engine: the caller said nothing, or `auto`. */
export interface ImageForm {
  size: string | null;
  quality: string | null;
}

/** The price of images of this form; what is `null` in it is named by no line. */
export function imagePrice(price: Price, { size, quality }: ImageForm): Price {
  const find = (lineSize: string | null, lineQuality: string | null) =>
    price.lines.find((line) => line.size === lineSize && line.quality === lineQuality);
  const line = find(size, quality) ?? find(size, null) ?? find(null, quality);
  return line ? { ...price, version: line.version, imageMicro: line.imageMicro } : price;
}

/** The price of the dearest images that an engine may answer with to what was asked for. */
export function dearestImagePrice(price: Price, asked: ImageForm): Price {
  const sizes = asked.size === null ? [null, ...price.lines.map(({ size }) => size)] : [asked.size];
  const qualities = asked.quality === null ? [null, ...price.lines.map(({ quality }) => quality)] : [asked.quality];
  return sizes
    .flatMap((size) => qualities.map((quality) => imagePrice(price, { size, quality })))
    .reduce((dearest, each) => (each.imageMicro > dearest.imageMicro ? each : dearest));
}
