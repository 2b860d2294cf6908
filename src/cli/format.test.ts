import { expect, it } from "vitest";
import { comparedSize, formatBytes, markdownTable, plainTable, significant } from "./format.ts";

it("bytes in three digits", () => {
  expect([0, 999, 1000, 4_313_000, 12_600_000, 3.76e9].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "4.31 MB",
    "12.6 MB",
    "3.76 GB",
  ]);
  expect(comparedSize(100, 262)).toBe("2.62x smaller");
  expect(comparedSize(110, 100)).toBe("1.10x larger");
});

it("three significant digits without an exponent", () => {
  expect([0, 1234.5, 123.4, 12.34, 1.234, 0.01234, 0.0000694, Number.NaN].map(significant)).toEqual([
    "0.00",
    "1,235",
    "123",
    "12.3",
    "1.23",
    "0.0123",
    "0.0000694",
    "–",
  ]);
});

it("tables are aligned", () => {
  const columns = [
    { title: "kv", align: "left" },
    { title: "t/s", align: "right" },
  ] as const;
  expect(markdownTable(columns, [["k4v4", "12.5"]])).toBe("| kv   |  t/s |\n| ---- | ---: |\n| k4v4 | 12.5 |\n");
  expect(
    plainTable(
      [
        ["a", "1", ""],
        ["bcd", "22", "x"],
      ],
      ["left", "right", "left"],
    ),
  ).toBe("a     1\nbcd  22  x\n");
});
