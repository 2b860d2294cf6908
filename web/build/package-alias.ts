/** @file The package's names as the page imports them, taken from the sources so that no build has to come first. */
import { fileURLToPath } from "node:url";

const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

/** As package.json's `exports` for browsers. Exact matches: `turboquant` must not swallow `turboquant/cache`. */
export const packageAlias = [
  { find: /^turboquant$/, replacement: source("browser.ts") },
  { find: /^turboquant\/cache$/, replacement: source("cache/index.ts") },
  { find: /^turboquant\/formats$/, replacement: source("formats/index.ts") },
  { find: /^turboquant\/plan$/, replacement: source("plan/index.ts") },
];
