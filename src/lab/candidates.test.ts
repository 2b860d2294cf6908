import { describe, expect, it } from "vitest";
import { listCandidates, runId } from "./candidates.ts";
import { kvSpecOf } from "./parameters.ts";
import { checkSpace } from "./space-schema.ts";

const space = (parameters: object, more: object = {}) => checkSpace({ name: "x", parameters, ...more }, "f");
const list = (parameters: object, more: object = {}) => listCandidates(space(parameters, more), "m");

describe("kvSpecOf", () => {
  it.each([
    [{}, "k4v4"],
    [{ recipe: "paper", bits: 3 }, "paper-3"],
    [{ recipe: "paper", k: 4, v: "f16" }, "paper-4,v=f16"],
    [{ recipe: "paper", k: "f16", v: 5 }, "paper-5,k=f16"],
    [{ recipe: "paper", k: 4, v: 2 }, "paper-4,v=tq2"],
    [{ recipe: "paper", bits: 4, qjl: true }, "paper-4+qjl"],
    [{ recipe: "paper", bits: 4, qjl: false, codebook: "converged" }, "paper-4"],
    [{ recipe: "paper", bits: 4, qjl: 32, codebook: 10 }, "paper-4+qjl,codebook=10,qjl=32"],
    [{ k: 5, v: "q4_0r", sinks: 0, window: 64 }, "k5v4,sinks=0,v=q4_0r,window=64"],
    [
      { kv: "k3v3", search: false, rotation: "qr", seed: 7, scale: "norm" },
      "k3v3,rotation=qr,scale=norm,search=off,seed=7",
    ],
    [{ bits: 3, feedback: false, transform: false }, "k3v3,feedback=off,transform=off"],
    // What changes nothing is not said: these are one cache.
    [{ bits: 8, sinks: 4, window: 128 }, "k8v8"],
    [{ kv: "k4v4,window=16bit", sinks: 4, window: 128 }, "k4v4,window=16bit"],
  ])("%j is %s", (parameters, spec) => {
    expect(kvSpecOf(parameters as Parameters<typeof kvSpecOf>[0])).toBe(spec);
  });

  it.each([
    [{ bits: 4, k: 3 }, /bits and k or v/],
    [{ kv: "k4v4", bits: 3 }, /kv and bits/],
    [{ qjl: true }, /qjl with recipe ours/],
    [{ recipe: "paper", qjl: true, k: "f16" }, /qjl with k f16/],
    [{ recipe: "paper", qjl: 8, bits: 1 }, /no bits left for codes/],
    [{ kv: "k9v4" }, /"k9v4" is not a preset/],
  ])("%j is refused", (parameters, message) => {
    expect(() => kvSpecOf(parameters as Parameters<typeof kvSpecOf>[0])).toThrow(message);
  });
});

describe("listCandidates", () => {
  it("has every combination once, in order, the last parameter fastest", () => {
    const { candidates, repeated } = list({ recipe: ["paper"], k: [2, 3], v: [4, "f16"], ctx: [64] });
    expect(candidates.map(({ kv }) => kv)).toEqual([
      "paper-2,v=tq4",
      "paper-2,v=f16",
      "paper-3,v=tq4",
      "paper-3,v=f16",
    ]);
    expect(candidates[0]).toMatchObject({ part: "all", model: "m", ctx: 64, parameters: { k: 2, v: 4 } });
    expect(repeated).toBe(0);
    expect(list({ bits: 4, sinks: [16, 0, 16] }).repeated).toBe(1);
  });

  it("refuses impossible combinations before anything runs, or leaves them out when told so", () => {
    const parameters = { recipe: "paper", bits: [1, 2], qjl: [false, true] };
    expect(() => list(parameters)).toThrow(
      /^space x, part all: .*bits=1.*qjl=true.*no bits left.*"impossible": "skip"/,
    );
    const { candidates, impossible } = list(parameters, { impossible: "skip" });
    expect(candidates.map(({ kv }) => kv)).toEqual(["paper-1", "paper-2", "paper-2+qjl"]);
    expect(impossible).toMatchObject([{ parameters: { bits: 1, qjl: true } }]);
    expect(() => list({ qjl: true }, { impossible: "skip" })).toThrow(/no combination is possible/);
  });

  it("refuses a space beyond counting", () => {
    expect(() => list({ sinks: { from: 0, to: 999 }, window: { from: 0, to: 999 } })).toThrow(
      /at most 50000.*got 1000000/,
    );
  });
});

describe("runId", () => {
  const [candidate] = list({ bits: 4 }).candidates;
  const settings = { base: "f16", needle: 0, textSha256: "ab" };

  it("is the same for the same run, and another when anything the figures depend on is another", () => {
    const id = runId(candidate!, 2, settings);
    expect(id).toMatch(/^[0-9a-f]{16}$/);
    expect(runId({ ...candidate!, parameters: {}, part: "other" }, 2, settings)).toBe(id);
    const others = [
      runId(candidate!, 3, settings),
      runId(candidate!, 2, { ...settings, base: "f32" }),
      runId(candidate!, 2, { ...settings, needle: 5 }),
      runId(candidate!, 2, { ...settings, textSha256: null }),
      runId({ ...candidate!, kv: "k3v3" }, 2, settings),
      runId({ ...candidate!, model: "n" }, 2, settings),
      runId({ ...candidate!, ctx: 9 }, 2, settings),
    ];
    expect(new Set([id, ...others]).size).toBe(8);
  });
});
