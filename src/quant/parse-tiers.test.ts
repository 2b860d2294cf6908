import { describe, expect, it } from "vitest";
import { TurboQuantError } from "../errors.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";
import { NO_AGE } from "./parse-tiers.ts";

const layer = (kv: string, index = 0) => parseKvSpec(kv).forLayer(index);

function problem(kv: string): string {
  try {
    parseKvSpec(kv);
  } catch (error) {
    if (error instanceof TurboQuantError) return error.message;
    throw error;
  }
  return "";
}

describe("tiers=", () => {
  it("are a window, the codes behind it, and coarser codes for older pages", () => {
    const { tiers, ...youngest } = layer("tiers=8:128,4:4096,3");
    expect(youngest).toEqual(layer("k4v4,sinks=16,window=128,window=8bit"));
    const { k, v } = layer("k3v3");
    expect(tiers).toEqual([{ k, v, after: 4224 }]);
  });

  it("begin with a window of 8 or 16 bits, or without one", () => {
    expect(layer("tiers=16:32,8:64,2")).toMatchObject({ window: 32, tiers: [{ k: { kind: "trellis" }, after: 96 }] });
    expect(layer("tiers=16:32,8:64,2").windowBits).toBeUndefined();
    const { window, tiers } = layer("tiers=7:10,6:20,5:30,2");
    expect([window, tiers!.map(({ after }) => after)]).toEqual([0, [10, 30, 60]]);
    expect(layer("tiers=8:64,5").tiers).toBeUndefined();
  });

  it("may have other widths for keys than for values, and one way to be written", () => {
    expect(layer("tiers=8:16,k5v4:64,k3v2").tiers![0]).toMatchObject({ k: { bits: 3 }, v: { kind: "trellis" } });
    expect(parseKvSpec("tiers=8:128, k4v4:4096 ,k3v3,sinks=16,seed=0").text).toBe("tiers=8:128,4:4096,3");
    expect(parseKvSpec("tiers=8:128,4:4096,3,trellis=off").text).toBe("tiers=8:128,4:4096,3");
    expect(parseKvSpec("tiers=8:128,4:4096,3,sinks=4").text).toBe("tiers=8:128,4:4096,3,sinks=4");
  });

  it("take the options of the recipe in every tier", () => {
    for (const { k, v } of [
      layer("tiers=5:64,3:64,2,search=off,trellis=off,scale=norm"),
      ...layer("tiers=5:64,3:64,2,search=off,trellis=off,scale=norm").tiers!,
    ]) {
      expect([k, v]).toMatchObject([
        { kind: "scalar", search: false, scale: "norm" },
        { kind: "scalar", search: false },
      ]);
    }
  });

  it("may last as long as there is memory", () => {
    expect(parseKvSpec("auto").text).toBe("tiers=8:auto,4:auto,3:auto,2");
    // Sinks are as fine as the codes that they begin in.
    expect(layer("auto")).toMatchObject({ window: 0, sinks: 16, windowBits: 8, k: { bits: 8 } });
    expect(layer("tiers=4:auto,3").windowBits).toBeUndefined();
    expect(layer("tiers=8:128,4:64,3:auto,2").tiers!.map(({ after }) => after)).toEqual([192, NO_AGE]);
    expect(layer("auto").tiers!.map(({ after }) => after)).toEqual([NO_AGE, NO_AGE, NO_AGE]);
  });

  it("leave out layers that layers= names", () => {
    expect(layer("tiers=8:128,4:4096,3,layers=1-2:k5v5", 1)).toEqual(layer("k5v5,sinks=16,window=128,window=8bit"));
    expect(layer("tiers=8:128,4:4096,3,layers=1-2:k5v5", 3).tiers).toHaveLength(1);
    // Also where no page is coded anew, which is a window of 8 bits under another name.
    expect(layer("tiers=8:128,4")).toEqual(layer("k4v4,sinks=16,window=128,window=8bit"));
  });

  it.each([
    ["tiers=", '"" is not a tier; expected BITS:TOKENS, as in tiers=8:128,4:4096,3'],
    ["tiers=8:128,4:many,3", '"4:many" is not a tier'],
    ["tiers=8:128,4:0,3", "4:0 is a tier of no tokens; leave it out"],
    ["tiers=8:128,4:4096,3:100", "the last tier holds all older tokens; leave out its number (3 for 3:100)"],
    ["tiers=8:128,4,3", "only the last tier goes without a number of tokens; say how many 4 holds, as in 4:128"],
    ["tiers=8:128,3:64,4", "4 follows 3:64, but tokens only grow coarser"],
    ["tiers=8:128,4:64,k3v4", "k3v4 follows 4:64, but tokens only grow coarser"],
    ["tiers=8:128,8:64,4", "8:64 follows 8:128, but tokens only grow coarser"],
    ["tiers=4:64,1", "1: expected 2 to 8 bits, or 16 for the first tier"],
    ["tiers=12:64,4", "12:64: expected 2 to 8 bits, or 16 for the first tier"],
    ["tiers=16:auto,4", "16:auto: tokens in 16 bit are a window, which needs a number; say 8:auto, or 16:128"],
    ["tiers=8:auto,4:64,3", "4:64 has a number of tokens behind 8:auto; say 4:auto"],
    ["tiers=8:128,4:auto", "the last tier holds all older tokens; leave out its number (4 for 4:auto)"],
    ["tiers=4", "one tier is a format without tiers; say k4v4,sinks=16,window=0"],
    ["tiers=16", "one tier is a format without tiers; say f16"],
    ["tiers=8:100000,4", "8:100000: expected a window of 1 to 65536 tokens"],
    ["tiers=8:128,4:64,3,window=32", "window=32: tiers= says what tokens of each age are stored as; leave window= out"],
    ["tiers=8:128,4:64,3,k=f16", "k=f16: tiers= says what tokens of each age are stored as"],
    ["k4v4,tiers=8:128,4:64,3", 'unknown modifier "tiers"'],
  ])("refuses %s", (kv, message) => {
    expect(problem(kv)).toContain(message);
  });
});
