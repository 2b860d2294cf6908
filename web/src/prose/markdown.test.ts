import { describe, expect, it } from "vitest";
import { lex, safeAddress, withCharacters } from "./lex.ts";

const kinds = (text: string): string[] => lex(text).map(({ type }) => type);
const inline = (text: string): [string, string][] => {
  const [paragraph] = lex(text);
  return (paragraph as { tokens: { type: string; text: string }[] }).tokens.map((token) => [token.type, token.text]);
};

describe("lex", () => {
  it("finds the blocks that models write", () => {
    const text = "# A\n\none\ntwo\n\n- a\n  - b\n\n1. c\n\n> q\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n";
    expect(kinds(text).filter((kind) => kind !== "space")).toEqual([
      "heading",
      "paragraph",
      "list",
      "list",
      "blockquote",
      "table",
      "hr",
    ]);
  });

  it("takes a fence that is still open for code to the end", () => {
    expect(lex("a\n```ts\n- b").map((token) => [token.type, "text" in token ? token.text : ""])).toEqual([
      ["paragraph", "a"],
      ["code", "- b"],
    ]);
  });

  it("finds mathematics in four notations", () => {
    expect(inline("so $x^2$ and \\(y\\) hold")).toEqual([
      ["text", "so "],
      ["math", "x^2"],
      ["text", " and "],
      ["math", "y"],
      ["text", " hold"],
    ]);
    expect(kinds("$$\na - b\n- c\n$$")).toEqual(["math"]);
    expect(kinds("\\[\n1. x\n\\]")).toEqual(["math"]);
    expect(inline("inside $$a$$ text")[1]).toEqual(["math", "a"]);
  });

  it("leaves sums of money, and dollars in code, alone", () => {
    expect(inline("it costs $5 and then $6")).toEqual([["text", "it costs $5 and then $6"]]);
    expect(inline("from $5 to 6$7")).toEqual([["text", "from $5 to 6$7"]]);
    expect(inline("`$a$`")).toEqual([["codespan", "$a$"]]);
  });

  it("keeps the number that a list begins with", () => {
    expect(lex("5. five\n6. six")[0]).toMatchObject({ type: "list", ordered: true, start: 5 });
  });
});

describe("what is not trusted", () => {
  it("links lead to the web or to mail", () => {
    expect(safeAddress("https://example.org/a b")).toBe("https://example.org/a%20b");
    expect(safeAddress("mailto:a@example.org")).toBe("mailto:a@example.org");
    for (const href of [
      "javascript:alert(1)",
      "JAVASCRIPT:alert(1)",
      "data:text/html,x",
      "file:///etc/passwd",
      "a/b",
    ]) {
      expect(safeAddress(href), href).toBeNull();
    }
  });

  it("references to characters are read once", () => {
    expect(withCharacters("&amp;lt; &lt;b&gt; &#65;&#x42; &unknown; &#0;")).toBe("&lt; <b> AB &unknown; &#0;");
  });
});
