/** @file The contract of the KV path against the kernels that a device without some feature takes, and those of other settings. */
import { describe, expect, it } from "vitest";
import { GPU_TIMEOUT_MS, gpuSkip } from "../support/gpu.ts";
import type { KvCase } from "../support/kv-case.ts";
import { isThorough } from "../support/optional.ts";
import { decodeContract, kvContract } from "./kv.ts";
import { BARE, BATCHES, EIGHT_BITS, FEW_EIGHT_BITS, FEW_INPUTS, FORMATS, INPUTS, MORE_FORMATS } from "./kv-cases.ts";
import { webGpuTarget, withoutSubnormals } from "./webgpu-target.ts";

/** Each way to read codes: odd and even widths, blocks, floats, a trellis, with copies of a window, of sinks, and without. */
const ways = ["k1v2", "k2v6", "k6v5", "q4_0r,v=tq2", "f16"];
const DECODED = isThorough
  ? [...FORMATS, ...MORE_FORMATS]
  : FORMATS.filter(
      // More query heads are more parts of the same kernel, which takes longest to make.
      ({ kv, headDim = 64, numHeads = 2 }) => headDim <= 80 && numHeads <= 34 && ways.some((way) => kv.startsWith(way)),
    );

/**
 * The rotation of the portable kernel is another one: of a head at once, in two rounds, and of more values than there are threads. Prompts are
 * attended by the same kernels as on other devices.
 */
const APPENDED: readonly KvCase[] = [
  { kv: "k4v4,window=16bit", numHeads: 4, numKvHeads: 2, steps: [20, 1], pagesOnly: true },
  { kv: "k6v5,window=16bit", headDim: 80, numHeads: 4, numKvHeads: 2, steps: [20, 1], pagesOnly: true },
  { kv: `k8v1,${BARE}`, headDim: 256, numHeads: 4, numKvHeads: 2, steps: [3, 1] },
  {
    kv: "k2v2,window=20,sinks=3,window=16bit",
    numHeads: 4,
    numKvHeads: 2,
    steps: [30, 1],
    pagesOnly: true,
    calibrated: true,
  },
  // One invocation chooses codes with error feedback.
  {
    kv: "k4v3,window=16bit",
    headDim: 40,
    numHeads: 4,
    numKvHeads: 2,
    steps: [20, 1],
    pagesOnly: true,
    calibrated: true,
  },
];

/** Long passes differ in the number of keys alone. */
const TUNED: readonly KvCase[] = [
  { kv: "k4v4,sinks=4,window=32,window=16bit", steps: [140, 1, 2], slidingWindow: 100 },
  { kv: "f16", steps: [300, 1], slidingWindow: 100 },
];

describe.skipIf(gpuSkip)(`webgpu variants${gpuSkip ? ` (${gpuSkip})` : ""}`, { timeout: GPU_TIMEOUT_MS }, () => {
  describe("without subgroups and f16", () => {
    const target = webGpuTarget({ without: ["subgroups", "f16"] });
    const bare = ({ kv }: KvCase): boolean => kv.startsWith("k4v4") && kv.endsWith(BARE);
    kvContract(target, {
      formats: APPENDED,
      "several sequences": BATCHES.filter(bare),
      inputs: (isThorough ? INPUTS : FEW_INPUTS.slice(3)).filter(bare).map(withoutSubnormals),
    });
    decodeContract(target, [...DECODED, (isThorough ? EIGHT_BITS[0] : FEW_EIGHT_BITS[1])!]);

    it("takes kernels without subgroups", () => {
      expect(target.gpu().commands.kernelLabels.some((label) => label.includes("subgroups"))).toBe(false);
    });
  });

  for (const own of [4, 2] as const) {
    describe(`passes of ${own} keys a lane`, () => {
      decodeContract(webGpuTarget({ tuning: { own } }), own === 4 || isThorough ? TUNED : TUNED.slice(0, 1));
    });
  }
});
