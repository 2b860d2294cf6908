import { expect, it } from "vitest";
import { comparedSize, markdownTable, plainTable } from "./format.ts";

it("sizes compared", () => {
  expect(comparedSize(100, 262)).toBe("2.62x smaller");
  expect(comparedSize(110, 100)).toBe("1.10x larger");
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
