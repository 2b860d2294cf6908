/** @file Layout of printed kernels: the same program, with brackets, lines and comments where a reader expects them. */
import { describe, expect, it } from "vitest";
import { shaders } from "../../backends/webgpu/generated/shaders.ts";
import { formatWgsl } from "./format-wgsl.ts";

describe("formatWgsl", () => {
  it("indents by brackets and sets declarations apart", () => {
    const text =
      "const A = 1u;\n// Twice.\nfn f(x: u32) -> u32 {\nif (x > A) {\n   return 2u * x;\n} else {\n// Not.\n\n\nreturn g(\nx,\n);\n}\n}\nfn g(x: u32) -> u32 {\nreturn x;\n}";
    expect(formatWgsl(text)).toBe(
      [
        "const A = 1u;",
        "",
        "// Twice.",
        "fn f(x: u32) -> u32 {",
        "  if (x > A) {",
        "    return 2u * x;",
        "  } else {",
        "    // Not.",
        "",
        "    return g(",
        "      x,",
        "    );",
        "  }",
        "}",
        "",
        "fn g(x: u32) -> u32 {",
        "  return x;",
        "}",
        "",
      ].join("\n"),
    );
  });

  it("breaks long lines where the fewest brackets are open, and leaves comments whole", () => {
    const term = (i: number): string => `(first${i} + second${i} * third${i})`;
    const text = `let sum = ${[1, 2, 3, 4, 5].map(term).join(" + ")};\n// ${"word ".repeat(40).trim()}`;
    const lines = formatWgsl(text).trimEnd().split("\n");
    expect(lines[0]!.length).toBeLessThanOrEqual(120);
    expect(lines[1]).toMatch(/^ {2}\+ \(first/);
    expect(lines.at(-1)).toBe(text.split("\n")[1]);
  });

  it("changes nothing but white space, and no comment becomes code", () => {
    const bare = (text: string): string => text.replace(/\s+/g, "");
    const withoutComments = (text: string): string => bare(text.replace(/\/\/.*$/gm, ""));
    const long = `let a = f(${"x, ".repeat(10)}x); // of ${"many, ".repeat(30)}words`;
    for (const [name, text] of [...Object.entries(shaders), ["long", long]]) {
      const formatted = formatWgsl(text!);
      expect(bare(formatted), name).toBe(bare(text!));
      expect(withoutComments(formatted), name).toBe(withoutComments(text!));
    }
  });

  it("counts no brackets of comments", () => {
    expect(formatWgsl("fn f() {\n// [0, 1)\nlet a = 1u; // (\n}")).toBe(
      "fn f() {\n  // [0, 1)\n  let a = 1u; // (\n}\n",
    );
  });
});
