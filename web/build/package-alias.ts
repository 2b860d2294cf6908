/** @file Maps the package's names, as the page imports them, to the sources, so that no build is needed first. */
import { fileURLToPath } from "node:url";

const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

/** As in package.json's `exports` for browsers. Matches are exact: `turboquant` must not match `turboquant/cache`. */
export const packageAlias = [
  { find: /^turboquant$/, replacement: source("browser.ts") },
  { find: /^turboquant\/cache$/, replacement: source("cache/index.ts") },
  { find: /^turboquant\/formats$/, replacement: source("formats/index.ts") },
  { find: /^turboquant\/plan$/, replacement: source("plan/index.ts") },
];
