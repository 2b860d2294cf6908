/** @file Conditions, inserts and includes of kernel files. */
import { describe, expect, it } from "vitest";
import { shaders } from "../generated/shaders.ts";
import { shaderName, shaderText } from "./shader-text.ts";

const lines = (text: string): string[] => text.split("\n").map((line) => line.trim());

describe("shaderText", () => {
  it("keeps what holds, puts in what is generated and says numbers as constants", () => {
    const source =
      "//#if WIDE > 1\nwide\n//#else\nnarrow\n//#end\n//#if !HALF\nfloats\n//#end\n//#insert BODY\nenable f16;";
    expect(lines(shaderText("a", source, { WIDE: 2, HALF: true }, { BODY: "body" }))).toEqual([
      "// a.wgsl",
      "enable f16;",
      "const WIDE = 2u;",
      "wide",
      "body",
    ]);
    expect(lines(shaderText("a", source, { WIDE: 1, HALF: false }, { BODY: "body" }))).toContain("floats");
  });

  it("says which file it was made from", () => {
    expect(shaderName(shaderText("rms-norm", "enable f16;", {}))).toBe("rms-norm");
  });

  it("includes another file under the conditions of the first", () => {
    const include = (hasResidual: boolean) =>
      shaderText("a", "//#include decode-keys", {
        ...{ HAS_RESIDUAL: hasResidual, HAS_COARSER: false, IS_COARSER: false },
      });
    expect(shaders["decode-keys"]).toContain("//#if HAS_RESIDUAL");
    expect(include(true)).toContain("let residual_table");
    expect(include(false)).not.toContain("let residual_table");
    expect(include(false)).toContain("let recent = end;");
  });

  it.each([
    ["//#if NOBODY\n//#end", /a\.wgsl:1: cannot decide/],
    ["\n//#insert BODY", /a\.wgsl:2: nothing to insert/],
    ["//#include nowhere", /a\.wgsl:1: no file to include/],
    ["//#when A", /a\.wgsl:1: unknown directive/],
    ["//#if A", /a\.wgsl: \/\/#if without/],
  ])("refuses %j", (source, message) => {
    expect(() => shaderText("a", source, { A: true })).toThrow(message);
  });
});
