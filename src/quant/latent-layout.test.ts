/** @file Pages of latent attention: bytes, what keys and values share, and what is refused. */
import { describe, expect, it } from "vitest";
import { latentFormat, latentLayout } from "./latent-layout.ts";
import { bitsPerValue, PAGE_TOKENS } from "./page-layout.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";

const formatOf = (kv: string) => latentFormat(parseKvSpec(kv).forLayer(0));
const layoutOf = (kv: string) => latentLayout(formatOf(kv).k, 512, 64, PAGE_TOKENS);

describe("a page of latent rows, 512 and 64 as in DeepSeek-V3", () => {
  it.each([
    ["f32", 4 * 576],
    ["f16", 2 * 576],
    ["k8v8", 512 + 2 + 128],
    ["k4v4", 256 + 2 + 128],
    ["k2v2", 128 + 2 + 128],
    ["q8_0", 512 + 32 + 128],
  ])("%s: %d bytes a token", (kv, bytes) => {
    const layout = layoutOf(kv);
    expect(layout.numBytes).toBe(PAGE_TOKENS * bytes);
    expect(bitsPerValue(layout)).toBe((8 * bytes) / 576);
  });

  it("values are read from the arrays of keys, rotary parts lie in one of their own", () => {
    const { k, v, rotaryKey } = layoutOf("k4v4");
    expect(v).toBe(k);
    expect(rotaryKey).toMatchObject({ dim: 64, side: { kind: "float", bits: 16 } });
    expect(rotaryKey!.planes[0]!.offset).toBe(PAGE_TOKENS * 256);
  });

  it("the type of keys names the row", () => {
    expect(formatOf("k8v4")).toEqual({ ...parseKvSpec("k8v4").forLayer(0), v: parseKvSpec("k8v8").forLayer(0).k });
    expect(layoutOf("k8v4")).toEqual(layoutOf("k8v8"));
  });

  it.each(["paper-4+qjl", "kivi-4"])("%s is refused by name", (kv) => {
    expect(() => formatOf(kv)).toThrow(/--kv .*: latent attention keeps one row a token .* choose kNvM, q8_0/);
  });

  it("refuses widths without kernels", () => {
    expect(() => latentLayout(formatOf("f16").k, 512, 72, PAGE_TOKENS)).toThrow(
      /head_dim: expected .* to 576, got 584/,
    );
  });
});
