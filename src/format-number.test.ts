import { expect, it } from "vitest";
import { formatBytes, formatCount, formatPace, significant } from "./format-number.ts";

it("bytes in three digits", () => {
  expect([0, 999, 1000, 49_152, 999_600, 4_313_000, 12_600_000, 3.76e9].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "49.2 kB",
    "1.00 MB",
    "4.31 MB",
    "12.6 MB",
    "3.76 GB",
  ]);
});

it("three significant digits without an exponent", () => {
  expect([0, 1234.5, 123.4, 99.96, 12.34, 9.996, 1.234, 0.01234, 0.0000694, Number.NaN].map(significant)).toEqual([
    "0.00",
    "1,235",
    "123",
    "100",
    "12.3",
    "10.0",
    "1.23",
    "0.0123",
    "0.0000694",
    "–",
  ]);
});

it("counts have their thousands separated", () => {
  expect([0, 12_288, 1234.6].map(formatCount)).toEqual(["0", "12,288", "1,235"]);
});

it("rate and time left of bytes", () => {
  expect(formatPace(100e6, 1200e6, { ms: 2000, done: 0 })).toBe(", 50.0 MB/s, 22 s left");
  expect(formatPace(120e6, 300e6, { ms: 20_000, done: 100e6 }), "what was there before is no speed").toBe(
    ", 1.00 MB/s, 3 min 0 s left",
  );
  expect(formatPace(300e6, 300e6, { ms: 1000, done: 0 })).toBe(", 300 MB/s");
  expect(formatPace(5, 10, { ms: 100, done: 0 }), "too early").toBe("");
  expect(formatPace(5, 10, { ms: 1000, done: 5 }), "nothing came").toBe("");
});
