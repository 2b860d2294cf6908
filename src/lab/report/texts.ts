/** @file Short names for labels. */
import type { ReportRow } from "./report-row.ts";

const CODES_ALONE = /,sinks=0(?=,|$)|,window=0(?=,|$)/g;

/**
 * Names the formats of a figure. "Codes alone" (no sinks, no window) is said only where it does not hold for all of them;
 * otherwise the caption says it.
 */
export function specShortener(rows: readonly ReportRow[]): (row: ReportRow) => string {
  const isMixed = rows.some(({ format }) => format.hasExactTokens);
  return ({ kv }) => {
    const short = kv.replace(CODES_ALONE, "");
    return isMixed && short !== kv ? `${short}, codes only` : short;
  };
}

/** For example `Qwen3-0.6B` → `qwen3-0-6b`. */
export const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");

export const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;
