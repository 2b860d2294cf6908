import { expect, it } from "vitest";
import { comparedSize, markdownTable, plainTable, titledTable } from "./format.ts";

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

it("a table that is too wide for a terminal is turned, in as many parts as it takes", () => {
  const columns = ["kv", "mean", "a long title"].map((title) => ({ title, align: "right" as const }));
  const rows = ["k4v4", "k3v3", "k2v2"].map((kv, i) => [kv, `${i}.00000`, `${i} ± 0.1`]);
  const wide = markdownTable(columns, rows);
  expect(markdownTable(columns, rows, wide.indexOf("\n"))).toBe(wide);
  const turned = markdownTable(columns, rows, 32);
  expect(turned).toBe(
    "kv               k4v4     k3v3\nmean          0.00000  1.00000\na long title  0 ± 0.1  1 ± 0.1\n\n" +
      "kv               k2v2\nmean          2.00000\na long title  2 ± 0.1\n",
  );
});

it("so is a table without lines, below its titles", () => {
  const rows = [
    ["kind", "what it keeps", "bytes"],
    ["full", "keys and values of all tokens", "1,000"],
  ];
  const aligns = ["left", "left", "right"] as const;
  expect(titledTable(rows, aligns)).toBe(plainTable(rows, aligns));
  expect(titledTable(rows, aligns, 41)).toBe(
    "kind                                    full\nwhat it keeps  keys and values of all tokens\nbytes                                  1,000\n",
  );
});
