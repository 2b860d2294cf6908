import { describe, expect, it } from "vitest";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { ladderOf } from "./ladder.ts";

const MODEL = { numLayers: 6, isCalibrated: false, hasSketch: true };
const rungs = (spec: string, model = MODEL) =>
  new Map(ladderOf(spec, model).map(({ lever, kv }) => [lever, parseKvSpec(kv)]));

describe("ladderOf", () => {
  it("our recipe: every lever off, each alone", () => {
    const found = rungs("k4v4", { ...MODEL, isCalibrated: true });
    expect([...found.keys()]).toEqual([
      "as given",
      "K only",
      "V only",
      "scale rules off",
      "search off",
      "transform off",
      "feedback off",
      "rotation off",
      "QJL on",
      "sinks off",
      "window off",
      "calibration off",
    ]);
    const given = found.get("as given")!.forLayer(0);
    const differs = (lever: string) =>
      Object.fromEntries(
        Object.entries(found.get(lever)!.forLayer(0)).filter(
          ([key, value]) => JSON.stringify(value) !== JSON.stringify(given[key as keyof typeof given]),
        ),
      );
    // Beside floats sinks and window have 16 bits, in their numbers.
    expect(given.windowBits).toBe(8);
    for (const [lever, side] of [
      ["K only", "v"],
      ["V only", "k"],
    ] as const) {
      expect(Object.keys(differs(lever))).toEqual([side]);
      expect(found.get(lever)!.forLayer(0)).toMatchObject({ sinks: 16, window: 144 });
      expect(found.get(lever)!.forLayer(0).windowBits).toBeUndefined();
    }
    expect(differs("K only")["v"]).toMatchObject({ kind: "float", bits: 16 });
    expect(differs("scale rules off")).toMatchObject({
      k: { ...given.k, scale: "norm" },
      v: { ...given.v, scale: "norm" },
    });
    expect(differs("search off")).toMatchObject({ k: { ...given.k, search: false }, v: { ...given.v, search: false } });
    expect(differs("transform off")).toMatchObject({ k: { ...given.k, transform: false }, v: { transform: false } });
    expect(differs("feedback off")).toMatchObject({ k: { ...given.k, feedback: false }, v: { feedback: false } });
    expect(differs("rotation off")).toEqual({ rotation: "none" });
    expect(differs("QJL on")).toMatchObject({
      k: { kind: "sketch", bits: 3, scale: "norm", search: true },
    });
    expect(differs("sinks off")).toEqual({ sinks: 0 });
    expect(differs("window off")).toEqual({ window: 0 });
    expect(differs("calibration off")).toEqual({});
    expect(found.get("calibration off")!.calibration).toBe("off");
  });

  it("codes of 2 bits: the trellis too", () => {
    const found = rungs("k4v2");
    expect(found.get("trellis off")!.forLayer(0).v).toMatchObject({ kind: "scalar", bits: 2 });
    expect(rungs("paper-2").get("trellis on")!.forLayer(0).k.kind).toBe("trellis");
    expect(rungs("k4v4").has("trellis off")).toBe(false);
  });

  it("the published codec: every lever on", () => {
    const found = rungs("paper-3");
    expect([...found.keys()]).toEqual([
      "as given",
      "K only",
      "V only",
      "scale rules on",
      "search on",
      "rotation off",
      "QJL on",
      "sinks on",
      "window on",
    ]);
    expect(found.get("scale rules on")!.forLayer(0)).toMatchObject({
      k: { scale: "norm-preserving" },
      v: { scale: "least-squares" },
    });
    expect(found.get("QJL on")!.forLayer(5)).toEqual(parseKvSpec("paper-3+qjl").forLayer(5));
    expect(rungs("paper-3+qjl").get("QJL off")!.forLayer(5)).toEqual(parseKvSpec("paper-3").forLayer(5));
    expect(found.get("sinks on")!.forLayer(0).sinks).toBe(4);
    expect(found.get("window on")!.forLayer(0).window).toBe(128);
    const ours = rungs("k3v3,sinks=0,window=0");
    expect(ours.get("sinks on")!.text).toBe("k3v3,sinks=16,window=0");
    expect(ours.get("sinks on")!.forLayer(0)).toMatchObject({ sinks: 16, windowBits: 8 });
    expect(ours.get("window on")!.forLayer(0)).toMatchObject({ window: 96, windowBits: 8 });
  });

  it("layers of their own keep their widths, side by side", () => {
    const found = rungs("k4v4,layers=0-1:k8v8");
    expect(found.get("K only")!.forLayer(1)).toMatchObject({ k: { bits: 8 }, v: { kind: "float" } });
    expect(found.get("V only")!.forLayer(1)).toMatchObject({ k: { kind: "float" }, v: { bits: 8 } });
    expect(found.get("V only")!.forLayer(2)).toMatchObject({ k: { kind: "float" }, v: { bits: 4 } });
    expect(found.get("window off")!.forLayer(1)).toMatchObject({ k: { bits: 8 }, window: 0 });
  });

  it("a window whose 8 bits are named has 16 beside floats", () => {
    for (const lever of ["K only", "V only"]) {
      const format = rungs("k8v8,window=8bit").get(lever)!.forLayer(0);
      expect(format).toMatchObject({ sinks: 16, window: 144 });
      expect(format.windowBits).toBeUndefined();
    }
  });

  it("formats without a lever have no rung for it", () => {
    expect([...rungs("q8_0").keys()]).toEqual(["as given", "K only", "V only", "sinks on", "window on"]);
    expect([...rungs("k1v4").keys()]).not.toContain("QJL on");
    expect([...rungs("k4v4", { ...MODEL, hasSketch: false }).keys()]).not.toContain("QJL on");
    expect([...rungs("k4v4,v=f16").keys()]).not.toContain("K only");
    expect([...rungs("kivi-4").keys()]).toEqual(["as given", "K only", "V only", "sinks on"]);
    expect([...rungs("f16").keys()]).toEqual(["as given"]);
  });

  it("rungs are canonical and all different", () => {
    for (const spec of ["k4v4", "paper-4", "k3v2,sinks=0,layers=0:k8v8"]) {
      const specs = ladderOf(spec, MODEL).map(({ kv }) => kv);
      expect(new Set(specs).size, spec).toBe(specs.length);
      for (const kv of specs) expect(parseKvSpec(kv).text).toBe(kv);
    }
  });
});
