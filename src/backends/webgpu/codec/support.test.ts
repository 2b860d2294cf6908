/** @file Formats without kernels are refused by one message, before anything is made for them. */
import { describe, expect, it } from "vitest";
import { parseKvSpec } from "../../../quant/parse-kv-spec.ts";
import { wgslSupport } from "./support.ts";

describe("KV codecs with kernels", () => {
  it.each(["paper-4+qjl", "kivi-4", "k4v4,codebook=3"])("refuses %s", (kv) => {
    expect(() => wgslSupport.check(parseKvSpec(kv).forLayer(0))).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringMatching(/choose tqN.*--backend wasm$/) }),
    );
  });

  it.each(["k4v4", "k2v2", "k4v4,window=8bit", "tiers=8:128,4:4096,3", "auto", "q8_0", "q4_0r,v=f16", "f32"])(
    "takes %s",
    (kv) => {
      wgslSupport.check(parseKvSpec(kv).forLayer(0));
    },
  );
});
