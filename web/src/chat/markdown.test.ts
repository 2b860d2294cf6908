import { describe, expect, it } from "vitest";
import { parseBlocks } from "./markdown.tsx";

describe("parseBlocks", () => {
  it("finds paragraphs, headings, lists and code", () => {
    const text = "# Title\nOne\ntwo\n\n- a\n- b\n1. c\n2) d\n```ts\nlet x = 1;\n\n# no heading\n```\nend";
    expect(parseBlocks(text)).toEqual([
      { kind: "heading", text: "Title" },
      { kind: "paragraph", text: "One\ntwo" },
      { kind: "list", ordered: false, items: ["a", "b"] },
      { kind: "list", ordered: true, items: ["c", "d"] },
      { kind: "code", text: "let x = 1;\n\n# no heading" },
      { kind: "paragraph", text: "end" },
    ]);
  });

  it("takes a fence that is still open for code to the end", () => {
    expect(parseBlocks("a\n```\n- b")).toEqual([
      { kind: "paragraph", text: "a" },
      { kind: "code", text: "- b" },
    ]);
  });

  it("leaves lines alone that only look like a list", () => {
    expect(parseBlocks("1867. It was cold\n-no blank")).toEqual([
      { kind: "paragraph", text: "1867. It was cold\n-no blank" },
    ]);
    expect(parseBlocks("")).toEqual([]);
  });
});
