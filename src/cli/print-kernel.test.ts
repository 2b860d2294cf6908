/** @file `turboquant print-kernel`, for which no GPU is needed. */
import { describe, expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { shapeConfig } from "../models/shapes.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { type KernelRequest, kernelTexts } from "./kernels/kernel-texts.ts";

const MODEL = ["-m", "qwen3-1m", "--quiet"];
const print = (...argv: string[]) => runCommand(["print-kernel", ...argv]);

describe("print-kernel", () => {
  it("lists the kernels of the model, the format and the adapter, a line each", async () => {
    const { code, out, err } = await print(...MODEL);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^kernel +lines +what it does\n/);
    expect(out).toMatch(/^attend-decode-\d +\d+ +attention of single tokens, K tq4, V tq4, f16, subgroups \(OWN 4\)$/m);
    expect(out).toMatch(/^attend-merge +\d+ +attention merge$/m);
    const { out: portable } = await print(...MODEL, "--features", "none", "--kv", "f16");
    expect(portable).toMatch(/^attend-portable +\d+ +attention of single tokens, K f16, V f16$/m);
    expect(portable).not.toMatch(/attend-decode|subgroups/);
  });

  it("prints one, indented and with comments", async () => {
    const { code, out } = await print("attend-merge", "--shape", "qwen3-0.6b");
    expect(code).toBe(0);
    expect(out).toMatch(/^\/\/ attention merge\n\/\/ attend-merge\.wgsl\nenable subgroups;\nconst VALUE_DIM = 128u;\n/);
    expect(out).toContain("\nstruct Params {\n  // Parts of a row's head.\n  splits: u32,\n");
    expect(out).toContain("\n// SHARES splits are added up at the same time.\n");
    expect(out).toMatch(/\n {4}highest = max\(highest, own\[s\]\.x\);\n/);
  });

  it("prints every kernel of a file", async () => {
    const { out } = await print("attend-prefill.wgsl", ...MODEL);
    expect(out.match(/^\/\/ attention of spans, K tq4, V tq4, tiles of \d+ rows$/gm)).toHaveLength(2);
    expect(await print("attend-prefill", ...MODEL)).toMatchObject({ out });
  });

  it("--json is one object, with text where a kernel is named", async () => {
    const list = JSON.parse((await print(...MODEL, "--json")).out);
    expect(list).toMatchObject({ model: "qwen3-1m", kv: "k4v4", adapter: { subgroupSize: 32 } });
    expect(list.kernels.every((kernel: object) => !("code" in kernel))).toBe(true);
    const one = JSON.parse((await print("swiglu", ...MODEL, "--json")).out);
    expect(one.kernels).toHaveLength(1);
    expect(one.kernels[0]).toMatchObject({ name: "swiglu", file: "swiglu.wgsl" });
    expect(one.kernels[0].code).toContain("fn main");
  });

  const mistakes: [what: string, argv: string[], message: RegExp][] = [
    ["an unknown kernel", ["atend-merge", ...MODEL], /no kernel "atend-merge"; did you mean attend-merge\?/],
    ["one of other features", ["attend-portable", ...MODEL], /no kernel "attend-portable"/],
    ["a feature", [...MODEL, "--features", "subgroup"], /Expected none or some of.*Did you mean subgroups\?/],
    [
      "matrices alone",
      [...MODEL, "--features", "chromium-experimental-subgroup-matrix"],
      /needs shader-f16 and subgroups/,
    ],
    ["a subgroup", [...MODEL, "--subgroup-size", "12"], /Expected 4, 8, 16, 32, 64 or 128/],
    ["a format without kernels", [...MODEL, "--kv", "kivi-4"], /the webgpu backend has no kernel for it/],
    ["a context", [...MODEL, "--ctx", "999999999"], /--ctx: expected at most \d+/],
    ["a layer", [...MODEL, "--kv", "k4v4,layers=9:f16"], /the model has layers 0 to 3/],
    ["a shape", ["--shape", "qwen9"], /shape: expected one of/],
  ];
  it.each(mistakes)("refuses %s", async (_what, argv, message) => {
    const { code, out, err } = await print(...argv);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(message);
  });
});

describe("kernelTexts", () => {
  const base = {
    config: shapeConfig("qwen3-0.6b"),
    calibration: [],
    storedType: () => "bf16",
    weights: "auto",
    contextLength: 4096,
  } as const satisfies Partial<KernelRequest>;

  it.each(["k4v4", "k2v2", "q8_0", "f32", "k3v5"])("%s: whole texts for every kind of adapter", async (kv) => {
    for (const features of [
      { f16: true, subgroupSize: 32, matrices: true },
      { f16: true, subgroupSize: 64, matrices: false },
      { f16: false, subgroupSize: 0, matrices: false },
    ]) {
      const kernels = await kernelTexts({ ...base, kv: parseKvSpec(kv), features });
      expect(new Set(kernels.map(({ name }) => name)).size).toBe(kernels.length);
      const names = kernels.map(({ file }) => file);
      expect(names).toContain(features.subgroupSize > 0 ? "attend-decode.wgsl" : "attend-portable.wgsl");
      // Matrix units multiply panels.
      expect(names.includes("linear-panels.wgsl")).toBe(features.matrices);
      for (const { name, code } of kernels) {
        expect(code, name).not.toContain("//#");
        expect(code.replace(/\/\/.*$/gm, ""), name).not.toMatch(/undefined|NaN/);
        // What is opened is closed at the margin.
        expect(code.trimEnd().split("\n").at(-1), name).toBe("}");
        // One statement a line, indented by two blanks a bracket.
        const isIndented = (line: string): boolean => /^( {2})*(\S|$)/.test(line);
        expect(
          code.split("\n").filter((line) => !isIndented(line)),
          name,
        ).toEqual([]);
      }
    }
  });
});
