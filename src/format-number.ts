/** @file Formats numbers for people. Bytes are in decimal units, as makers of devices and models state memory. */

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** With three digits: 4.31 MB. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 999.5 would be rounded to 1000 of the smaller unit.
  while (Math.abs(value) >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : significant(value)} ${UNITS[unit]}`;
}

/** Three significant digits without an exponent; integers from 100 on. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return "–";
  // Rounded first, because 9.996 has one place after the point: 10.0.
  const size = Math.abs(Number(value.toPrecision(3)));
  if (size >= 100) return formatCount(value);
  return value.toFixed(size >= 10 ? 1 : size >= 1 || size === 0 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(size))));
}

/** Rounded to an integer, with thousands separated: 12,288. Without Intl, which takes a page tens of milliseconds when it is used first. */
export const formatCount = (count: number): string => String(Math.round(count)).replace(/\B(?=(?:\d{3})+$)/g, ",");

/** In binary units, for limits of address spaces and devices, which are powers of two: 4 GiB, 128 MiB. */
export const binarySize = (bytes: number): string =>
  bytes >= 2 ** 30
    ? `${Number((bytes / 2 ** 30).toPrecision(3))} GiB`
    : `${Number((bytes / 2 ** 20).toPrecision(3))} MiB`;

/** Time between the first and the last sign of progress from which on a rate is worth showing. */
const MIN_PACE_MS = 250;

/**
 * Rate and time left of bytes that come in: `, 50.0 MB/s, 22 s left`; nothing where it is too early to tell. What was there at the
 * beginning, of a download that goes on, is no speed.
 */
export function formatPace(done: number, total: number, since: { readonly ms: number; readonly done: number }): string {
  const rate = (1000 * (done - since.done)) / since.ms;
  if (!(rate > 0) || since.ms < MIN_PACE_MS) return "";
  const left = formatDuration((total - done) / rate);
  return `, ${formatBytes(rate)}/s${done < total ? `, ${left} left` : ""}`;
}

/** Whole seconds, rounded up: 22 s, 3 min 0 s, 1 h 12 min. */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Ascending numbers, as in 0–2, 4. */
export function formatRanges(numbers: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run && run[1] === number - 1) run[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ");
}
