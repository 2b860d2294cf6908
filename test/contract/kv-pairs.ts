/** @file The KV path where no kernel has to be made for a case: everything that may be chosen with everything else, two at a time. */
import type { KvCase } from "../support/kv-case.ts";
import { pairwise } from "./pairs.ts";

const CODES = ["tq1", "tq2", "tq3", "tq4", "tq5", "tq6", "tq7", "tq8"] as const;

const FORMAT = {
  trellis: ["on", "off"],
  rotation: ["hadamard", "qr", "none"],
  scale: ["auto", "norm", "norm-preserving", "least-squares"],
  search: ["on", "off"],
  // Where no bits are named, sinks and window have 8 beside two sides of our codes, and 16 beside others.
  copies: [
    "sinks=0,window=0",
    "sinks=4,window=32",
    "sinks=0,window=16",
    "sinks=7,window=0,window=16bit",
    "sinks=1,window=1,window=16bit",
  ],
} as const;

export const PLAIN = {
  k: ["f32", "f16", "q8_0", "q4_0r", ...CODES],
  v: ["f32", "f16", "q8_0", "q4_0r", ...CODES],
  ...FORMAT,
  headDim: [8, 16, 24, 40, 64, 72, 96, 112, 128, 192, 256, 264, 576],
  // The scratch of a thread has 32 rows.
  group: [1, 2, 3, 4, 5, 6, 7, 8, 31, 32, 33, 71],
  numKvHeads: [1, 2],
  slidingWindow: [0, 1, 17, 100],
  steps: [
    [33, 1, 66],
    [127, 1, 1],
    [64, 65, 2],
    [5, 1, 130, 3],
  ],
  awkward: [false, true],
} as const;

const CALIBRATED = {
  k: ["f16", "q8_0", ...CODES],
  v: ["f16", "q4_0r", ...CODES],
  ...FORMAT,
  parts: ["transform=on,feedback=on", "transform=on,feedback=off", "transform=off,feedback=on"],
  headDim: [8, 16, 24, 40, 64, 72, 128],
  group: [1, 3, 4, 8],
  numKvHeads: [1, 2],
  // Rows are appended a few at a time where there are several.
  steps: [
    [1, 2, 3, 4, 5, 7, 8, 33],
    [6, 1, 20],
    [9, 30, 2],
  ],
  awkward: [false, true],
} as const;

/**
 * Steps of cases beyond MOST_WORK, for which plain TypeScript takes seconds. That is most of those with 192 coordinates and more or with 31 query heads
 * and more, which attend nine tokens; every other choice has cases that are whole, as a test demands. As long takes a random rotation beyond LONG_HEAD_DIM.
 */
const SHORT = [5, 1, 3];
const MOST_WORK = 1.2e7;
const LONG_HEAD_DIM = 256;
/** Up to this head_dim each length has a case that is not cut short, however much work the least of them is. */
export const WHOLE_HEAD_DIM = 128;

interface Chosen {
  readonly k: string;
  readonly v: string;
  readonly trellis: string;
  readonly rotation: string;
  readonly scale: string;
  readonly search: string;
  readonly copies: string;
  readonly parts?: string;
  readonly headDim: number;
  readonly group: number;
  readonly numKvHeads: number;
  readonly slidingWindow?: number;
  readonly steps: readonly number[];
  readonly awkward: boolean;
}

function caseOf(
  { k, v, trellis, scale, search, copies, parts, group, rotation: chosen, ...rest }: Chosen,
  seed: number,
): KvCase {
  // Only codes of two bits have one.
  const codes = [k, v].includes("tq2") ? `,trellis=${trellis}` : "";
  const { headDim, numKvHeads } = rest;
  const rotation = chosen === "qr" && headDim > LONG_HEAD_DIM ? "hadamard" : chosen;
  return {
    ...rest,
    kv: `k4v4,k=${k},v=${v}${codes},rotation=${rotation},scale=${scale},search=${search}${parts ? `,${parts}` : ""},${copies}`,
    numHeads: group * numKvHeads,
    calibrated: parts !== undefined,
    seed,
  };
}

const workOf = ({ steps, group, numKvHeads, headDim }: Chosen): number =>
  steps.reduce((sum, n) => sum + n, 0) ** 2 * group * numKvHeads * headDim;

/** Those that are not cut short. */
function wholeOf(all: readonly Chosen[]): Set<Chosen> {
  const least = new Map<string, Chosen>();
  for (const c of all) {
    const key = `${c.steps} ${c.headDim}`;
    const other = least.get(key);
    if (c.headDim <= WHOLE_HEAD_DIM && (!other || workOf(c) < workOf(other))) least.set(key, c);
  }
  return new Set([...least.values(), ...all.filter((c) => workOf(c) <= MOST_WORK)]);
}

function casesOf(all: readonly Chosen[]): KvCase[] {
  const whole = wholeOf(all);
  return all.map((c, n) => caseOf(whole.has(c) ? c : { ...c, steps: SHORT }, n));
}

const plain = pairwise(PLAIN);
/** What PAIRS chose where it is not cut short. */
export const WHOLE_PAIRS: readonly Chosen[] = [...wholeOf(plain)];
export const PAIRS: readonly KvCase[] = casesOf(plain);
export const CALIBRATED_PAIRS: readonly KvCase[] = casesOf(pairwise(CALIBRATED, 2));

/** Maps and error feedback of long vectors, of single rows and of four at once: to make them takes seconds. */
export const LONG_CALIBRATED: readonly KvCase[] = [
  { kv: "k4v2,sinks=0,window=0", headDim: 264, steps: [5, 1], calibrated: true },
  { kv: "k4v2,sinks=0,window=0", headDim: 576, steps: [5, 1], calibrated: true },
];
