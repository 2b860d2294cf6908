import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LayerKvFormat } from "./kv-format.ts";
import type { KeptKind } from "./layer-kinds.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";

const off = { search: false, transform: false, feedback: false };
const on = { search: true, transform: true, feedback: true };
const OTHERS: Readonly<Record<string, object>> = {
  f16: { kind: "float", bits: 16 },
  f32: { kind: "float", bits: 32 },
  q8_0: { kind: "block", bits: 8 },
  q4_0r: { kind: "block", bits: 4 },
  kivi4: { kind: "channel", bits: 4 },
};
const plain = (type: string) => OTHERS[type] ?? { kind: "scalar", bits: Number(type.slice(2)), scale: "norm", ...off };
const recipe = (bits: number) =>
  bits === 2 ? { kind: "trellis", transform: true, feedback: true } : { kind: "scalar", bits, ...on };
/** Codes of `bits` bits and a sketch. */
const sketch = (bits: number) => ({ kind: "sketch", bits, scale: "norm", search: false });
const key = (bits: number) => ({ ...recipe(bits), scale: "norm-preserving" });
const value = (bits: number) => ({ ...recipe(bits), scale: "least-squares" });
const published = { sinks: 0, window: 0, rotation: "hadamard", seed: 0 };
const layer = (spec: string, index = 0): LayerKvFormat => parseKvSpec(spec).forLayer(index);

function problem(spec: string): string {
  try {
    parseKvSpec(spec);
  } catch (error) {
    expect(error).toMatchObject({ name: "TurboQuantError", code: "invalid_argument" });
    return (error as Error).message;
  }
  throw new Error(`${spec} was accepted`);
}

describe("presets", () => {
  it("kNvM: our recipe at every pair of widths; sinks and window in 8 bits unless all codes have them", () => {
    for (let k = 1; k <= 8; k++) {
      for (let v = 1; v <= 8; v++) {
        const spec = parseKvSpec(`k${k}v${v}`);
        const eight = { sinks: 16, window: Math.min(k, v) >= 4 ? 144 : 96, windowBits: 8 };
        const own = k + v === 16 ? { sinks: 4, window: 128 } : eight;
        expect(spec.forLayer(17)).toEqual({ ...published, k: key(k), v: value(v), ...own });
        expect([spec.calibration, spec.isFloat, spec.text]).toEqual(["auto", false, `k${k}v${v}`]);
      }
    }
    expect(parseKvSpec("tq4").text).toBe("k4v4");
    expect(layer("tq-3")).toEqual(layer("k3v3"));
  });

  it("paper-N and paper-N+qjl: as published", () => {
    for (let bits = 1; bits <= 8; bits++) {
      const spec = parseKvSpec(`paper-${bits}`);
      expect(spec.forLayer(0)).toEqual({ ...published, k: plain(`tq${bits}`), v: plain(`tq${bits}`) });
      expect(spec.calibration).toBe("off");
      if (bits === 1) continue;
      expect(layer(`paper-${bits}+qjl`)).toEqual({
        ...published,
        k: sketch(bits - 1),
        v: plain(`tq${bits}`),
      });
    }
    expect(problem("paper-1+qjl")).toContain("ask for 2 or more");
  });

  it("floats and baselines", () => {
    for (const type of ["f16", "f32", "q8_0", "q4_0r"]) {
      expect(layer(type)).toEqual({ ...published, k: plain(type), v: plain(type) });
      expect(parseKvSpec(type).isFloat).toBe(type.startsWith("f"));
    }
    expect(layer("kivi-4")).toEqual({
      ...published,
      k: plain("kivi4"),
      v: plain("kivi4"),
      rotation: "none",
      window: 64,
    });
  });

  it("vLLM's names, with modifiers after them", () => {
    expect(layer("turboquant_4bit_nc")).toEqual(layer("k4v4,sinks=0,window=0,search=off"));
    expect(layer("turboquant_k8v4,seed=3")).toEqual(layer("k8v4,sinks=0,window=0,search=off,seed=3"));
  });
});

describe("modifiers", () => {
  it("sinks, window, seed, rotation, calibration", () => {
    expect(layer("k4v4,sinks=0,window=0")).toMatchObject({ sinks: 0, window: 0 });
    expect(layer("paper-4,window=128,sinks=4")).toMatchObject({ sinks: 4, window: 128, k: plain("tq4") });
    expect(layer("k4v4,seed=4294967295").seed).toBe(4294967295);
    for (const rotation of ["hadamard", "qr", "none"])
      expect(layer(`k4v4,rotation=${rotation}`).rotation).toBe(rotation);
    for (const calibration of ["off", "auto", "a/b.safetensors"]) {
      expect(parseKvSpec(`k4v4,calibration=${calibration}`).calibration).toBe(calibration);
    }
  });

  it("window=16bit: what the presets meant before, 4 sinks and 128 tokens", () => {
    for (const preset of ["k4v4", "k3v3", "k2v2", "k8v4"]) {
      const { windowBits, ...rest } = layer(preset);
      expect(windowBits).toBe(8);
      const before = { ...rest, sinks: 4, window: 128 };
      expect(layer(`${preset},window=16bit`)).toEqual(before);
      expect(layer(`${preset},window=16bit,sinks=3`)).toEqual({ ...before, sinks: 3 });
      expect(layer(`${preset},window=16bit,window=64`)).toEqual({ ...before, window: 64 });
      expect(parseKvSpec(`${preset},window=16bit`).text).toBe(`${preset},window=16bit`);
      expect(parseKvSpec(`${preset},window=16bit,window=128,sinks=4`).text).toBe(`${preset},window=16bit`);
      expect(layer(`${preset},window=0,sinks=0`)).toEqual({ ...rest, sinks: 0, window: 0 });
    }
  });

  it("a number of tokens says nothing of the width, nor a width of the numbers that a spec names", () => {
    expect(layer("k4v4,window=64")).toEqual({ ...layer("k4v4"), window: 64 });
    expect(layer("k3v3,sinks=4")).toEqual({ ...layer("k3v3"), sinks: 4 });
    expect(layer("k4v4,window=0")).toEqual({ ...layer("k4v4"), window: 0 });
    expect(layer("k8v8,window=8bit")).toEqual({ ...layer("k8v8"), sinks: 16, window: 144, windowBits: 8 });
    expect(layer("paper-4,window=32,window=8bit")).toEqual({ ...layer("paper-4"), window: 32, windowBits: 8 });
    // Nothing that could have a width.
    for (const kv of ["paper-4", "k4v4,sinks=0,window=0"]) {
      expect(parseKvSpec(`${kv},window=8bit`).text).toBe(kv);
      expect(layer(`${kv},window=8bit`)).toEqual(layer(kv));
      expect(parseKvSpec(`${kv},window=16bit`).text).toBe(kv);
    }
    for (const same of ["k4v4,window=8bit", "k4v4,window=16bit,window=8bit", "tq4"]) {
      expect(parseKvSpec(same).text).toBe("k4v4");
      expect(layer(same)).toEqual(layer("k4v4"));
    }
    expect(parseKvSpec("k4v4,window=8bit,window=32").text).toBe("k4v4,window=32");
    expect(parseKvSpec("k8v8,window=16bit").text).toBe("k8v8");
    expect(problem("k4v4,window=9bit")).toContain("window=9bit: expected 8bit, 16bit");
    for (const [kv, type] of [
      ["q8_0,window=32", "q8_0"],
      ["kivi-4", "kivi4"],
      ["k4v4,v=f16", "f16"],
      ["k4v4,layers=0:vq4_0r", "q4_0r"],
    ]) {
      expect(problem(`${kv},window=8bit`)).toContain(`window=8bit: ${type} has no TurboQuant codes`);
    }
    expect(layer("k4v4,layers=0:f16,window=8bit").k).toEqual(plain("f16"));
  });

  it("sides without TurboQuant codes, latent attention and keys of an indexer have 16 bits beside our presets", () => {
    const halves = layer("k4v4,window=16bit");
    expect(layer("k4v4,v=f16")).toEqual({ ...halves, v: plain("f16") });
    const spec = parseKvSpec("k4v4,layers=0:q8_0+1:k2v2");
    expect(spec.forLayer(0)).toEqual({ ...halves, k: plain("q8_0"), v: plain("q8_0") });
    expect(spec.forLayer(1)).toMatchObject({ sinks: 16, window: 144, windowBits: 8 });
    const kinds: KeptKind[][] = [["full"], ["latent", "index"]];
    const own = parseKvSpec("k4v4").forModel(kinds);
    expect(own.forLayer(0)).toEqual(layer("k4v4"));
    expect(own.forLayer(1)).toEqual(halves);
    expect(own.forLayer(1, true)).toEqual({ ...halves, k: key(8) });
    // Numbers that are named hold for them too.
    expect(parseKvSpec("k4v4,window=64").forModel(kinds).forLayer(1)).toEqual({ ...halves, window: 64 });
    expect(own.text).toBe("k4v4");
  });

  it("scale and search reach both sides", () => {
    for (const scale of ["norm", "norm-preserving", "least-squares"]) {
      expect(layer(`k4v4,scale=${scale}`)).toMatchObject({ k: { scale }, v: { scale } });
    }
    expect(layer("paper-4,scale=auto")).toMatchObject({
      k: { scale: "norm-preserving" },
      v: { scale: "least-squares" },
    });
    expect(layer("k4v4,search=off")).toMatchObject({ k: { search: false }, v: { search: false } });
    expect(layer("k4v4,feedback=off")).toMatchObject({ k: { ...key(4), feedback: false }, v: { feedback: false } });
    expect(layer("k4v4,transform=off,k=f16").v).toEqual({ ...value(4), transform: false });
    expect(layer("paper-4,feedback=on").k).toEqual({ ...plain("tq4"), feedback: true });
    expect(problem("k4v4,feedback=maybe")).toContain("expected on, off");
    expect(layer("paper-4,search=on")).toMatchObject({ k: { search: true }, v: { search: true } });
  });

  it("trellis is of 2 bits, and stays with the recipe when widths change", () => {
    expect(layer("k2v2,trellis=off")).toMatchObject({ k: { ...plain("tq2"), ...on, scale: "norm-preserving" } });
    expect(layer("paper-2,trellis=on").v).toEqual({
      kind: "trellis",
      scale: "norm",
      transform: false,
      feedback: false,
    });
    expect(layer("k4v4,v=tq2")).toEqual(layer("k4v2"));
    expect(layer("paper-4,v=tq2").v).toEqual(plain("tq2"));
    expect(layer("k4v4,layers=0:v2").v).toEqual(value(2));
    expect(layer("k2v2,layers=0:k3").k).toEqual(key(3));
    expect(layer("k2v2,layers=0:k3+qjl").k).toEqual({ ...sketch(2), search: true });
    expect(layer("k2v2,codebook=3").k).toMatchObject({ kind: "scalar", bits: 2, codebookIterations: 3 });
    expect(parseKvSpec("k4v4,trellis=off").text).toBe("k4v4");
    expect(parseKvSpec("k2v2,trellis=on").text).toBe("k2v2");
    expect(parseKvSpec("paper-4,v=tq2,trellis=on").text).toBe("paper-4,trellis=on,v=tq2");
    expect(parseKvSpec("k4v4,layers=0:k4+qjl,qjl=64").text).toBe("k4v4,layers=0:k4+qjl,qjl=64");
    expect(problem("k4v4,trellis=on")).toContain("expected codes of 2 bits on a side");
    expect(problem("paper-3+qjl,v=tq4,trellis=on")).toContain("expected codes of 2 bits");
  });

  it("k= and v= override one side and keep the preset's rules", () => {
    expect(layer("paper-4,v=f16")).toEqual({ ...published, k: plain("tq4"), v: plain("f16") });
    expect(layer("paper-4,k=f16")).toEqual({ ...published, k: plain("f16"), v: plain("tq4") });
    expect(layer("k4v4,k=tq6")).toMatchObject({ k: key(6), v: value(4) });
    expect(layer("paper-4,k=tq6").k).toEqual(plain("tq6"));
    expect(layer("f16,k=tq5").k).toEqual(key(5));
    expect(layer("q8_0,v=q4_0r")).toMatchObject({ k: plain("q8_0"), v: plain("q4_0r") });
    // Sides come first, however the text is ordered.
    expect(layer("f16,search=off,k=tq5")).toEqual(layer("f16,k=tq5,search=off"));
  });

  it("layers= takes ranges, the last that fits wins", () => {
    const spec = parseKvSpec("k4v4,layers=0-1:k8v8+1:f16+27:paper-3");
    expect(spec.forLayer(0)).toMatchObject({ k: key(8), v: value(8), window: 144, windowBits: 8 });
    expect(spec.forLayer(1)).toMatchObject({ k: plain("f16") });
    expect(spec.forLayer(2)).toMatchObject({ k: key(4) });
    expect(spec.forLayer(27)).toMatchObject({ k: plain("tq3") });
    const kinds = (count: number) => Array.from({ length: count }, () => ["full"] as const);
    expect(spec.forModel(kinds(28)).forLayer(27)).toEqual(spec.forLayer(27));
    expect(() => spec.forModel(kinds(27))).toThrowError(/layers=27: the model has layers 0 to 26/);
    expect(parseKvSpec("f16,layers=0:q8_0").isFloat).toBe(false);
  });

  it("layers= takes kinds, which a model has by number, beside ranges and before and after them", () => {
    const spec = parseKvSpec("k4v4,layers=0:k2v2+sliding:f16+2:vf16+full:k5,scale=norm");
    expect(spec.text).toBe("k4v4,layers=0:k2v2+sliding:f16+2:vf16+full:k5,scale=norm");
    const own = spec.forModel([["sliding"], ["full"], ["full"], []]);
    expect([0, 1, 2, 3].map((layer) => own.forLayer(layer).k)).toEqual([
      plain("f16"),
      ...[5, 5, 4].map((bits) => ({ ...key(bits), scale: "norm" })),
    ]);
    expect(own.forLayer(2).v).toEqual(plain("f16"));
    // Once it is of a model it stays so.
    expect(own.forModel([["sliding"], ["full"], ["full"], []]).forLayer(1)).toEqual(own.forLayer(1));
    expect(
      parseKvSpec("k4v4,layers=latent:paper-4+qjl+chunked:k8v8")
        .forModel([["latent"], ["chunked"]])
        .forLayer(1).k,
    ).toEqual(key(8));
    const without = (text: string, kinds: readonly (readonly KeptKind[])[]) => () => parseKvSpec(text).forModel(kinds);
    expect(without("k4v4,layers=sliding:f16", [["full"], ["latent"]])).toThrowError(
      /layers=sliding: the model has no such layer; its layers with keys and values are full and latent/,
    );
    expect(without("k4v4,layers=full:f16", [[]])).toThrowError(/none of its layers has keys and values/);
    expect(() => parseKvSpec("k4v4,layers=slding:f16")).toThrowError(
      /or KIND:PRESET of full, .*did you mean sliding\?/,
    );
  });

  it("keys of an indexer have codes of at least 8 bits, unless layers=index says otherwise", () => {
    const kinds: KeptKind[][] = [["latent", "index"], ["latent", "index"], ["latent"]];
    const own = parseKvSpec("k4v4,layers=0:k5v5+index:k3").forModel(kinds);
    expect([0, 1, 2].map((layer) => own.forLayer(layer).k)).toEqual([5, 4, 4].map((bits) => key(bits)));
    expect([0, 1].map((layer) => own.forLayer(layer, true).k)).toEqual([key(3), key(3)]);
    for (const text of ["k4v4", "k2v2", "k8v8", "paper-3", "k4v4,layers=index:k3+0:k5v5"])
      expect(parseKvSpec(text).forModel(kinds).forLayer(0, true).k, text).toEqual(key(8));
    for (const type of ["f16", "f32", "q4_0r"])
      expect(parseKvSpec(type).forModel(kinds).forLayer(0, true).k).toEqual(plain(type));
    expect(() => parseKvSpec("k4v4,layers=index:k8").forModel([["latent"]])).toThrowError(
      /layers=index: the model has no such layer; its layers with keys and values are latent/,
    );
  });

  it("scale= and search= reach the layers of layers= too, wherever it stands; sinks and window stay the preset's", () => {
    for (const spec of [
      "k4v4,layers=0-1:k8v8,scale=norm,search=off,transform=off,feedback=off",
      "k4v4,transform=off,feedback=off,scale=norm,search=off,layers=0-1:k8v8",
    ]) {
      expect(layer(spec, 1)).toMatchObject({ k: plain("tq8"), v: plain("tq8"), sinks: 16, window: 144 });
      expect(layer(spec, 2)).toMatchObject({ k: plain("tq4"), v: plain("tq4") });
    }
    expect(layer("turboquant_4bit_nc,layers=0:k8v8").k).toEqual({ ...key(8), search: false });
    // Without them, the layer's own preset decides.
    expect(layer("paper-4,layers=0:k8v8")).toEqual({ ...published, k: key(8), v: value(8) });
  });

  it("what is said twice is one of the two in the canonical text", () => {
    expect(parseKvSpec("k4v4,sinks=0,sinks=0").text).toBe("k4v4,sinks=0");
    expect(parseKvSpec("k8v8,sinks=0,sinks=4").text).toBe("k8v8");
    expect(parseKvSpec("k4v4,sinks=0,window=16bit,sinks=4").text).toBe("k4v4,window=16bit");
    expect(parseKvSpec("k4v4,window=0,sinks=8,window=64").text).toBe("k4v4,sinks=8,window=64");
  });

  it("layers= changes one side where one is named, and keeps the recipe", () => {
    const spec = parseKvSpec("k4v4,layers=0-3:k8v8+2:k5+3:vf16+3:k2");
    expect(spec.forLayer(1)).toMatchObject({ k: key(8), v: value(8), window: 144 });
    expect(spec.forLayer(2)).toMatchObject({ k: key(5), v: value(8) });
    expect(spec.forLayer(3)).toMatchObject({ k: key(2), v: plain("f16") });
    expect(spec.forLayer(4)).toMatchObject({ k: key(4), v: value(4) });
    expect(layer("paper-4,layers=0:k6")).toEqual({ ...published, k: plain("tq6"), v: plain("tq4") });
    expect(layer("f16,layers=0:v3")).toEqual({ ...published, k: plain("f16"), v: value(3) });
    // Wherever k= stands, the ranges refer to what it chose.
    expect(layer("k4v4,layers=0:v3,k=f16")).toMatchObject({ k: plain("f16"), v: value(3) });
    expect(layer("k4v4,layers=0:k5,search=off").k).toEqual({ ...key(5), search: false });
    expect(parseKvSpec("f16,layers=0:kq8_0").isFloat).toBe(false);
    expect(parseKvSpec("k4v4,k=f16,v=f16,layers=0:vf32").isFloat).toBe(true);
    expect(layer("k4v4,layers=0:k4+qjl").k).toEqual({ ...sketch(3), search: true });
    expect(layer("k4v4,k=tq4+qjl").k).toEqual({ ...sketch(3), search: true });
    expect(() => parseKvSpec("k4v4,layers=0:v4+qjl")).toThrowError(/v4\+qjl: expected k2\+qjl to k8\+qjl/);
    expect(() => parseKvSpec("k4v4,layers=0:k1+qjl")).toThrowError(/k1\+qjl: expected/);
    expect(() => parseKvSpec("k4v4,layers=0:k9")).toThrowError(/"k9" is not a preset/);
  });

  it("layers= takes every preset, also the one with a + in it", () => {
    const spec = parseKvSpec("k4v4,layers=0-1:paper-4+qjl+3:f16");
    expect(spec.forLayer(1).k).toEqual(sketch(3));
    expect(spec.forLayer(2).k).toEqual(key(4));
    expect(spec.forLayer(3).k).toEqual(plain("f16"));
    expect(problem("k4v4,layers=0:k8v8+f16")).toContain('"k8v8+f16" is not a preset');
  });

  it("the design's example", () => {
    const spec = parseKvSpec(
      "k4v4,sinks=0,window=0,scale=norm,rotation=qr,search=off,transform=off,feedback=off,calibration=off,layers=0-1:k8v8,seed=7",
    );
    expect(spec.forLayer(2)).toEqual({
      k: plain("tq4"),
      v: plain("tq4"),
      sinks: 0,
      window: 0,
      rotation: "qr",
      seed: 7,
    });
    expect(spec.forLayer(0)).toEqual({ ...spec.forLayer(2), k: plain("tq8"), v: plain("tq8") });
  });
});

describe("research modifiers", () => {
  it("qjl= sets the projections of sides that have a sketch, codebook= the iterations of sides that have codes", () => {
    const published = { ...sketch(3), projections: 64, codebookIterations: 10 };
    expect(layer("paper-4+qjl,qjl=64,codebook=10")).toMatchObject({
      k: published,
      v: { ...plain("tq4"), codebookIterations: 10 },
    });
    expect(layer("k4v4,codebook=50,v=f16")).toMatchObject({
      k: { ...key(4), codebookIterations: 50 },
      v: plain("f16"),
    });
    expect(layer("paper-4").k).not.toHaveProperty("codebookIterations");
  });

  it("refuses what cannot be", () => {
    expect(problem("paper-4,qjl=64")).toContain("expected a preset with a sketch; choose paper-N+qjl");
    expect(problem("paper-4+qjl,qjl=12")).toContain("expected a multiple of 8 from 8 to 512");
    expect(problem("paper-4+qjl,qjl=0")).toContain("expected a multiple of 8 from 8 to 512");
    expect(problem("k4v4,codebook=0")).toContain("at least 1 of Lloyd's iterations");
  });
});

describe("canonical text", () => {
  it("drops what changes nothing and sorts the rest", () => {
    expect(parseKvSpec(" k8v8 , window=128 , sinks=0").text).toBe("k8v8,sinks=0");
    expect(parseKvSpec(" k4v4 , window=16bit, window=128 , sinks=0").text).toBe("k4v4,sinks=0,window=16bit");
    expect(parseKvSpec("k4v4,window=0,sinks=0").text).toBe(parseKvSpec("k4v4,sinks=0,window=0").text);
  });

  it("can be parsed again to the same formats and the same text", () => {
    const modifiers = fc.subarray([
      "sinks=0",
      "window=64",
      "window=16bit",
      "scale=norm",
      "rotation=qr",
      "search=off",
      "calibration=off",
      "seed=7",
      "k=tq3",
      "v=f16",
      "layers=0-1:k8v8",
    ]);
    const shuffled = modifiers.chain((list) => fc.shuffledSubarray(list, { minLength: list.length }));
    fc.assert(
      fc.property(
        fc.constantFrom("f16", "k4v4", "k3v2", "paper-4", "paper-3+qjl", "q8_0"),
        shuffled,
        (preset, list) => {
          const spec = parseKvSpec([preset, ...list].join(","));
          const again = parseKvSpec(spec.text);
          expect(again.text).toBe(spec.text);
          for (const index of [0, 5]) expect(again.forLayer(index)).toEqual(spec.forLayer(index));
          expect(again.calibration).toBe(spec.calibration);
        },
      ),
    );
  });
});

describe("mistakes", () => {
  it("names the bad part and suggests the nearest", () => {
    expect(problem("k4v9")).toMatch(/"k4v9" is not a preset; .* from 1 to 8 .*did you mean k4v4\?/);
    expect(problem("k4v4,widow=0")).toMatch(/unknown modifier "widow"; .*did you mean window\?/);
    expect(problem("papr-4")).toContain("did you mean paper-4?");
    expect(problem("q4_0")).toContain("did you mean q4_0r?");
    expect(problem("k4v4,rotation=hadamar")).toContain("did you mean hadamard?");
    expect(problem("k4v4,scale=nrm")).toContain("did you mean norm?");
  });

  it("refuses values out of range, absent values and broken ranges", () => {
    for (const spec of [
      "",
      "k0v4",
      "paper-0",
      "paper-9",
      "kivi-9",
      "kivi-4,window=63",
      "k4v4,window=0,layers=0:kivi-2",
      "K4V4",
      "k4v4,",
      "k4v4,sinks",
      "k4v4,sinks=",
      "k4v4,sinks=-1",
      "k4v4,sinks=1.5",
      "k4v4,sinks=1e3",
      "k4v4,window=99999999",
      "k4v4,seed=4294967296",
      "k4v4,search=maybe",
      "k4v4,k=tq9",
      "k4v4,v=int5",
      "k4v4,layers=3-1:f16",
      "k4v4,layers=0-1",
      "k4v4,layers=0:f16+",
      "k4v4,layers=+0:f16",
      "k4v4,layers=0:k9v9",
      "k4v4,layers=a:f16",
    ]) {
      expect(problem(spec), spec).toMatch(/^--kv: /);
    }
  });

  it("never fails in another way, whatever the text", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "k4v4",
        "paper-4",
        ",",
        "=",
        "layers=",
        "0-1:",
        "+",
        "sinks=3",
        "k=",
        "tq2",
        "constructor",
        "__proto__",
      ),
      fc.string({ maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        try {
          parseKvSpec(pieces.join(""));
        } catch (error) {
          expect(error).toMatchObject({ name: "TurboQuantError", code: "invalid_argument" });
        }
      }),
      { numRuns: 2000 },
    );
  });
});
