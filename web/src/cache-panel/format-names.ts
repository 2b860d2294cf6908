/** @file The formats that the page offers, in words. */

const WORDS: Readonly<Record<string, string>> = {
  f16: "exact, 16 bit",
  k8v8: "8 bit",
  k4v4: "4 bit",
  k3v3: "3 bit",
  k2v2: "2 bit",
};

export const wordsOf = (kv: string): string => WORDS[kv] ?? "";

/** Below this length most of a cache are its recent tokens, which formats keep alike or more exactly than codes, so its size says little of them. */
export const TELLING_TOKENS = 200;

/** Words of English text for so many tokens, rounded to two digits. */
export function wordsOfTokens(tokens: number): number {
  const words = tokens * 0.75;
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, words))) - 1);
  return Math.round(words / step) * step;
}
