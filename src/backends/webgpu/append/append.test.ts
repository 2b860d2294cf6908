/** @file Workgroup memory of the kernels that append, counted in their text: heads up to 256 have to do with what every device has. */
import { describe, expect, it } from "vitest";
import {
  appendRows,
  type KvCase,
  layerOf,
  makeSequence,
  ropeOf,
  rowsOf,
  stepOf,
} from "../../../../test/support/kv-case.ts";
import { DescribedBackend } from "../described-backend.ts";

const BYTES: Readonly<Record<string, number>> = { f32: 4, u32: 4, vec2u: 8 };

/** Bytes of each variable in workgroup memory, rounded up to 16 as the limit counts them. */
function workgroupBytes(code: string): Map<string, number> {
  const constants = [...code.matchAll(/^const (\w+) = (\d+)u;/gm)].map(
    ([, name, value]) => [name!, Number(value)] as const,
  );
  const count = (text: string): number =>
    new Function("max", ...constants.map(([name]) => name), `return ${text.replace(/(\d)u\b/g, "$1")};`)(
      Math.max,
      ...constants.map(([, value]) => value),
    );
  return new Map(
    [...code.matchAll(/^var<workgroup> (\w+): (.+);/gm)].map(([, name, type]) => {
      const [, element, length] = /^array<(\w+), (.+)>$/.exec(type!) ?? [null, type!, "1"];
      return [name!, Math.ceil((BYTES[element!]! * count(length!)) / 16) * 16];
    }),
  );
}

/** Of the one kernel that appends. */
function bytesOf(c: KvCase): Map<string, number> {
  const codes: string[] = [];
  const ops = new DescribedBackend({ f16: true, subgroupSize: 32, matrices: false }, (label, code) => {
    if (label.startsWith("append")) codes.push(code);
  });
  const layer = layerOf(c);
  const sequence = makeSequence(ops, layer);
  sequence.reserve(1);
  appendRows(ops, stepOf([sequence], [1]), layer, ropeOf(c, layer), rowsOf(c, layer)(1));
  ops.commands.flush();
  expect(codes).toHaveLength(1);
  return workgroupBytes(codes[0]!);
}

const sum = (bytes: Map<string, number>): number => [...bytes.values()].reduce((a, b) => a + b);

describe("workgroup memory of append", () => {
  it.each([128, 240, 256])("every format fits 16 KiB at head_dim %d", (headDim) => {
    for (const kv of ["k4v4", "k8v4", "k8v2", "k8v8,window=8bit", "k2v2", "k7v7", "k8v8"])
      for (const calibrated of [false, true])
        expect(sum(bytesOf({ kv, headDim, steps: [1], calibrated })), `${kv} ${calibrated}`).toBeLessThanOrEqual(
          16_384,
        );
  });

  // A multiprocessor that gives 64 KiB has so many vectors under way as fit there, and most of them wait for one subgroup.
  it("fourteen vectors of 128 coordinates fit 64 KiB with a calibration", () => {
    const bytes = sum(bytesOf({ kv: "k4v4", headDim: 128, steps: [1], calibrated: true }));
    expect(bytes).toBeLessThanOrEqual((64 * 1024) / 14);
  });
});
