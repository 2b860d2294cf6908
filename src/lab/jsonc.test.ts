import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseJsonc } from "./jsonc.ts";

describe("parseJsonc", () => {
  it("takes comments and trailing commas, and leaves both alone inside strings", () => {
    const text = `// one
{
  "a": [1, 2, /* three, */ ], // four
  "url": "http://x/*y*/", "comma": ",]", "quote": "\\"//",
}`;
    expect(parseJsonc(text, "f")).toEqual({ a: [1, 2], url: "http://x/*y*/", comma: ",]", quote: '"//' });
  });

  it("reads all that JSON is", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value, null, 2);
        expect(parseJsonc(text, "f")).toEqual(JSON.parse(text));
      }),
    );
  });

  it.each([
    ['{\n  // note\n  "a": oops\n}', 'line 3, column 8: expected a value, got "o"'],
    ['{"a": 1', "line 1, column 8: expected a comma or }, got the end of the file"],
    ["", "line 1, column 1: expected a value, got the end of the file"],
    ['{"a" 1}', 'line 1, column 6: expected a colon, got "1"'],
    ["{a: 1}", 'line 1, column 2: expected a text in double quotes, got "a"'],
    ["[1] 2", 'line 1, column 5: expected the end, got "2"'],
    ['["\\x"]', "line 1, column 2: expected a text that JSON knows how to read"],
    ["[01]", 'line 1, column 3: expected a comma or ], got "1"'],
  ])("%s: says where it stops being JSON", (text, message) => {
    expect(() => parseJsonc(text, "my.jsonc")).toThrow(`my.jsonc, ${message}`);
  });
});
