/** The languages that pages are written in, and which of them a reader wants. */

export const languages = ["en", "id"] as const;
export type Language = (typeof languages)[number];

/** English binds; a language without a translation shows it. */
export type Translated = { en: string } & { [Other in Exclude<Language, "en">]?: string | undefined };

/** The address decides, then the browser's languages in their order, then English. */
export function languageOf(asked: string | null, acceptLanguage: string | null): Language {
  const wanted = [asked ?? "", ...accepted(acceptLanguage)].map((tag) => tag.toLowerCase().split("-")[0]);
  return wanted.flatMap((tag) => languages.filter((language) => language === tag))[0] ?? "en";
}

/** The values of an Accept header whose weight is above 0, best first. */
export function accepted(header: string | null): string[] {
  return (header ?? "")
    .split(",")
    .map((part) => {
      const [value = "", ...parameters] = part.split(";").map((piece) => piece.trim());
      const weight = parameters.find((parameter) => parameter.startsWith("q="));
      return { value: value.toLowerCase(), weight: weight ? Number(weight.slice("q=".length)) : 1 };
    })
    .filter(({ weight }) => weight > 0)
    .sort((one, other) => other.weight - one.weight)
    .map(({ value }) => value);
}
