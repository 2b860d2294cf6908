import { describe, expect, it } from "vitest";
import { randomCalibration } from "../../test/support/calibration.ts";
import { MemorySource } from "../formats/memory-source.ts";
import {
  CALIBRATION_FILE,
  calibrationFileOf,
  calibrationTag,
  loadCalibration,
  writeCalibration,
} from "./calibration-file.ts";

const shapeOf = (numLayers: number, headDim = 16) => ({
  layers: Array.from({ length: numLayers }, () => ({ numKvHeads: 2, headDim })),
});
const SHAPE = shapeOf(2);
const LAYERS = [randomCalibration(2, 16, 1), randomCalibration(2, 16, 2)];
const BYTES = writeCalibration(LAYERS, SHAPE, "abc", { tokens: "8192" });

const load = (
  bytes: Uint8Array | null,
  choice = "auto",
  shape: Parameters<typeof loadCalibration>[2] = SHAPE,
  fingerprint = "abc",
) =>
  loadCalibration(new MemorySource(bytes ? { [CALIBRATION_FILE]: bytes } : {}, "model"), choice, shape, {
    stem: null,
    fingerprint: async () => fingerprint,
  });

describe("calibration files", () => {
  it("come back as written; matrices in f16", async () => {
    const layers = await load(BYTES);
    for (const [i, layer] of layers.entries()) {
      expect(layer!.keyMean).toEqual(LAYERS[i]!.keyMean);
      expect(layer!.balance).toEqual(LAYERS[i]!.balance);
      expect(layer!.key!.metric).toEqual(LAYERS[i]!.key!.metric);
      layer!.value!.transform.forEach((x, at) => {
        // Half a unit in the last of 11 bits.
        expect(Math.abs(x - LAYERS[i]!.value!.transform[at]!)).toBeLessThanOrEqual(Math.abs(x) * 2 ** -11 + 1e-7);
      });
    }
  });

  it("hold layers of unequal widths, and nothing of layers without keys and values of heads", async () => {
    const shape = { layers: [{ numKvHeads: 2, headDim: 16, valueDim: 8 }, null, { numKvHeads: 1, headDim: 32 }] };
    const own = [randomCalibration(2, 16, 1, 8), null, randomCalibration(1, 32, 2)];
    const layers = await load(writeCalibration(own, shape, "abc"), "auto", shape);
    expect(layers[1]).toBeNull();
    for (const i of [0, 2]) expect(layers[i]!.value!.metric).toEqual(own[i]!.value!.metric);
  });

  it("off and absent give none; a file that is named must be there", async () => {
    expect(await load(BYTES, "off")).toEqual([null, null]);
    expect(await load(null)).toEqual([null, null]);
    await expect(load(null, "mine.safetensors")).rejects.toThrow(
      "mine.safetensors is not in model; drop calibration=, or make it with: turboquant calibrate",
    );
  });

  it("refuses another model, another version, another shape, and values that cannot be", async () => {
    await expect(load(BYTES, "auto", SHAPE, "def")).rejects.toThrow("made for another model");
    const text = new TextDecoder("latin1").decode(BYTES);
    const old = BYTES.slice();
    old[text.indexOf('calibration":"1"') + 'calibration":"'.length] = "0".charCodeAt(0);
    await expect(load(old)).rejects.toThrow("expected a KV calibration of version 1, got 0");
    await expect(load(BYTES, "auto", shapeOf(2, 8))).rejects.toThrow("expected f32 [2,8], got f32 [2,16]");
    await expect(load(BYTES, "auto", shapeOf(3))).rejects.toThrow("layers.2.key_mean");
    const bad = { ...LAYERS[0]!, balance: new Float32Array(32) };
    await expect(load(writeCalibration([bad, bad], SHAPE, "abc"))).rejects.toThrow("layer 0: balances and metrics");
  });

  it("of a GGUF file bears its name; one of the whole folder is taken if it was made for that file", async () => {
    const of = (files: Record<string, Uint8Array>, stem: string, fingerprint: string) =>
      loadCalibration(new MemorySource(files), "auto", SHAPE, { stem, fingerprint: async () => fingerprint });
    const other = writeCalibration([...LAYERS].reverse(), SHAPE, "def");
    expect(calibrationFileOf({ stem: "small.Q4_0" })).toBe(`small.Q4_0.${CALIBRATION_FILE}`);
    const both = { [`a.${CALIBRATION_FILE}`]: BYTES, [`b.${CALIBRATION_FILE}`]: other };
    expect(await of(both, "a", "abc")).toEqual(await load(BYTES));
    expect(await of(both, "b", "def")).toEqual((await load(BYTES)).reverse());
    expect(await of(both, "c", "abc"), "another file's is not taken").toEqual([null, null]);
    expect(await of({ [CALIBRATION_FILE]: BYTES }, "a", "abc")).toEqual(await load(BYTES));
    expect(await of({ [CALIBRATION_FILE]: BYTES }, "b", "def"), "of the other file in the folder").toEqual([
      null,
      null,
    ]);
    expect(await of({ ...both, [CALIBRATION_FILE]: other }, "a", "abc")).toEqual(await load(BYTES));
    await expect(of({ [`a.${CALIBRATION_FILE}`]: BYTES }, "a", "xyz")).rejects.toThrow("made for another model");
  });

  it("another constant is another tag", () => {
    const tag = calibrationTag(LAYERS);
    expect(tag).toMatch(/^\+calibration:[0-9a-f]+$/);
    expect(calibrationTag([null, null])).toBe("");
    const [first, second] = LAYERS as [(typeof LAYERS)[0], (typeof LAYERS)[0]];
    const changed = second.value!.metric.slice();
    changed[3]!++;
    expect(calibrationTag([first, { ...second, value: { ...second.value!, metric: changed } }])).not.toBe(tag);
  });
});
