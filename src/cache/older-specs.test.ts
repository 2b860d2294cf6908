import { describe, expect, it } from "vitest";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { specOfVersion2 } from "./older-specs.ts";

describe("specOfVersion2", () => {
  it.each([
    ["k4v4", "k4v4,window=16bit"],
    ["k3v3,window=64", "k3v3,window=16bit,window=64"],
    ["k2v2,sinks=0,window=0", "k2v2,sinks=0,window=0"],
    ["k8v8", "k8v8"],
    ["k4v4,v=f16", "k4v4,v=f16"],
    ["f16", "f16"],
    ["paper-4,window=128", "paper-4,window=128"],
    ["k4v4,window=8bit", "k4v4"],
    ["k4v4,window=64,window=8bit", "k4v4,window=64"],
    ["k4v4,window=0,window=8bit", "k4v4,sinks=4,window=0"],
    ["paper-4,window=64,window=8bit", "paper-4,sinks=16,window=64,window=8bit"],
    ["paper-4,window=8bit", "paper-4"],
    ["paper-4,sinks=4,window=8bit", "paper-4,sinks=4,window=8bit"],
    ["tiers=8:128,4:4096,3", "tiers=8:128,4:4096,3"],
    ["of another program", "of another program"],
  ])("%s is %s", (before, now) => {
    expect(specOfVersion2(before)).toBe(now);
  });

  it("a preset's sinks and window are those that it had", () => {
    for (const preset of ["k4v4", "k3v3", "k2v2", "k8v4"])
      expect(parseKvSpec(specOfVersion2(preset)).forLayer(0)).toMatchObject({ sinks: 4, window: 128 });
  });
});
