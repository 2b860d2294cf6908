/** @file Formats numbers for people. */
import { formatCount } from "../../../src/format-number.ts";

export { formatBytes, formatCount, formatDuration, formatPace, formatRanges } from "../../../src/format-number.ts";

export function formatRate(tokPerSec: number): string {
  if (!(tokPerSec > 0)) return "–";
  return tokPerSec >= 100 ? formatCount(tokPerSec) : tokPerSec.toFixed(1);
}

export function formatSeconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** Compares `bytes` with `base`: `2.37× smaller`, `1.2× larger`, `the same size`. */
export function comparedSize(bytes: number, base: number): string {
  if (bytes === 0 || base === 0 || bytes === base) return "the same size";
  return bytes < base ? `${(base / bytes).toFixed(2)}× smaller` : `${(bytes / base).toFixed(2)}× larger`;
}

const MINUTE = 60_000;

export function formatAge(time: number, now = Date.now()): string {
  const minutes = Math.floor((now - time) / MINUTE);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short" });
}
