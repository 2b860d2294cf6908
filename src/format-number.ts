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
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(size >= 10 ? 1 : size >= 1 || size === 0 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(size))));
}

/** Rounded to an integer, with thousands separated: 12,288. */
export const formatCount = (count: number): string => Math.round(count).toLocaleString("en-US");

/** In binary units, for limits of address spaces and devices, which are powers of two: 4 GiB, 128 MiB. */
export const binarySize = (bytes: number): string =>
  bytes >= 2 ** 30
    ? `${Number((bytes / 2 ** 30).toPrecision(3))} GiB`
    : `${Number((bytes / 2 ** 20).toPrecision(3))} MiB`;
