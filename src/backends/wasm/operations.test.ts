/**
 * @file What the WASM backend promises of its operations beyond the contract of all backends (`test/contract/`): the same bits however
 * the work is shared out, and an eye on what is not finite.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../node/install.ts";
import { ACTIVATION_KINDS, activated, NORM_CASES, normed } from "../../../test/support/elementwise-grid.ts";
import { GGML_TYPES, packed } from "../../../test/support/ggml-blocks.ts";
import {
  download,
  embedTokens,
  gaussians,
  partOf,
  stored,
  upload,
  WEIGHT_TYPES,
} from "../../../test/support/wasm-backend.ts";
import { weightFormat } from "../../weights/registry.ts";
import { matrixBytes } from "../../weights/weight-format.ts";
import type { Ops, WeightType } from "../ops.ts";
import { createWasmBackend } from "./backend.ts";

/** Of GGUF files, without plain numbers. */
const BLOCK_TYPES = Object.keys(GGML_TYPES).filter((name) => GGML_TYPES[name]!.values > 1) as WeightType[];

let backends: readonly Ops[];
beforeAll(async () => {
  backends = await Promise.all([1, 2, 3].map((threads) => createWasmBackend({ threads })));
});
afterAll(async () => {
  await Promise.all(backends.map((ops) => ops.dispose()));
});

it.each(WEIGHT_TYPES)(
  "products of %s: the same bits on any number of threads and for any cut of the rows",
  async (type) => {
    // Large enough to be shared between threads, in blocks that end inside a panel's pair.
    const [n, cols, rows] = [318, 520, 11];
    const [x, w, bias] = [gaussians(1, rows * cols), gaussians(2, n * cols), gaussians(3, n)];
    const before = gaussians(4, rows * n);
    const results: Float32Array[] = [];
    for (const ops of backends) {
      const weight = ops.loadWeight([partOf(w, cols)], type);
      const biases = ops.loadWeight([partOf(bias, 1)], "f32");
      const product = async (count: number, add: boolean): Promise<Float32Array> => {
        const out = upload(ops, before.subarray(0, count * n));
        ops.linear(upload(ops, x.subarray(0, count * cols)), weight, add ? biases : null, count, out, add);
        return download(ops, out);
      };
      const plain = await product(rows, false);
      for (const cut of [1, 2, 3, 4, 6]) {
        expect(await product(cut, false), `first ${cut} rows alone`).toEqual(plain.slice(0, cut * n));
      }
      const added = plain.map((v, i) => Math.fround(Math.fround(v + bias[i % n]!) + before[i]!));
      expect(await product(rows, true), "with a bias, added").toEqual(added);
      results.push(plain);
    }
    for (const result of results) expect(result).toEqual(results[0]);
  },
);

describe("weights that are read ahead of their use", () => {
  const [n, cols] = [2101, 520];
  const [x, w] = [gaussians(1, 3 * cols), gaussians(2, n * cols)];

  it.each(WEIGHT_TYPES)("%s: the same bits as from a cache", async (type) => {
    const ops = await createWasmBackend({ threads: 2 });
    const weight = ops.loadWeight([partOf(w, cols)], type);
    const out = ops.alloc(3 * n);
    const product = async (rows: number): Promise<Float32Array> => {
      ops.linear(upload(ops, x.subarray(0, rows * cols)), weight, null, rows, out, false);
      return (await download(ops, out)).slice(0, rows * n);
    };
    const cached = [await product(1), await product(3)];
    // More than the caches of common processors have room for.
    ops.alloc((64 << 20) / 4);
    expect([await product(1), await product(3)]).toEqual(cached);
    await ops.dispose();
  });
});

const LONG = { n: 3, cols: 60_000, rows: 5, x: gaussians(1, 5 * 60_000), w: gaussians(2, 3 * 60_000) };

it.each(WEIGHT_TYPES)(
  "products of %s: the same bits where rows are too long to unpack a block of them",
  async (type) => {
    const { n, cols, rows, x, w } = LONG;
    const ops = backends[0]!;
    const weight = ops.loadWeight([partOf(w, cols)], type);
    const results = await Promise.all(
      [rows, 1].map((count) => {
        const out = ops.alloc(count * n);
        ops.linear(upload(ops, x.subarray(0, count * cols)), weight, null, count, out, false);
        return download(ops, out);
      }),
    );
    expect(results[1]).toEqual(results[0]!.slice(0, n));
  },
);

/** Enough elements to be shared between threads. */
const [ROWS, WIDTH] = [70, 300];

async function expectSame(run: (ops: Ops) => Promise<Float32Array>): Promise<void> {
  const results = await Promise.all(backends.map(run));
  const bytes = results.map(({ buffer }) => Buffer.from(buffer));
  for (const own of bytes) expect(own.equals(bytes[0]!)).toBe(true);
}

it("rmsNorm and swiglu: the same bits on any number of threads", async () => {
  const [x, weight] = [gaussians(1, ROWS * 2 * WIDTH, 3), gaussians(2, WIDTH)];
  await expectSame(async (ops) => {
    const buf = upload(ops, x);
    ops.rmsNorm(buf, ops.loadWeight([partOf(weight, WIDTH)], "f32"), 1e-5, 2 * ROWS, buf);
    return download(ops, buf);
  });
  await expectSame(async (ops) => {
    const out = ops.alloc(ROWS * WIDTH);
    ops.swiglu(upload(ops, x), ROWS, WIDTH, out);
    return download(ops, out);
  });
});

it("norms, activations and soft caps: the same bits on any number of threads", async () => {
  await expectSame(async (ops) => {
    const buf = upload(ops, gaussians(5, ROWS * WIDTH, 20));
    ops.softcap(buf, ROWS * WIDTH, 6);
    return download(ops, buf);
  });
  for (const c of NORM_CASES) await expectSame((ops) => normed(ops, c, WIDTH, ROWS));
  for (const kind of ACTIVATION_KINDS) {
    for (const isGated of [false, true]) await expectSame((ops) => activated(ops, { kind, isGated }, WIDTH, ROWS));
  }
});

it.each(WEIGHT_TYPES)("embed of %s: the same bits on any number of threads", async (type) => {
  const table = gaussians(4, ROWS * WIDTH);
  const tokens = Array.from({ length: 2 * ROWS }, (_, i) => (7 * i) % ROWS);
  await expectSame(async (ops) => {
    const out = ops.alloc(tokens.length * WIDTH);
    embedTokens(ops, tokens, ops.loadWeight([partOf(table, WIDTH)], type), out);
    return download(ops, out);
  });
});

describe("a weight that is being written", () => {
  it.each([
    ["f32", Uint32Array, 0x7f7fffff, 0x7f800000],
    ["f16", Uint16Array, 0x7bff, 0x7c00],
    ["bf16", Uint16Array, 0x7f7f, 0x7f80],
  ] as const)("sees what is not finite in %s, kept as anything", (dtype, Patterns, largest, infinite) => {
    const [rows, wide] = [5, 45];
    const sign = Patterns === Uint32Array ? 2 ** 31 : 0x8000;
    const write = (patterns: Uint32Array | Uint16Array, type: WeightType) => {
      const writer = backends[1]!.createWeight(rows, wide, type);
      const finite = writer.write({ dtype, rows, cols: wide, data: new Uint8Array(patterns.buffer) }, 0);
      backends[1]!.freeWeight(writer.finish());
      return finite;
    };
    for (const type of WEIGHT_TYPES) {
      const patterns = new Patterns(rows * wide).map((_, i) => largest + (i % 3 ? sign : 0));
      expect(write(patterns, type), type).toBe(true);
      for (const at of [0, 31, 44, 45, 3 * 45 + 7, 5 * 45 - 1]) {
        for (const bad of [infinite, infinite + sign, infinite + 1]) {
          const broken = patterns.slice();
          broken[at] = bad;
          expect(write(broken, type), `${type} at ${at}: ${bad}`).toBe(false);
        }
      }
    }
  });

  it.each(BLOCK_TYPES)("sees scales that are not finite in blocks of %s, kept as anything", (dtype) => {
    const [rows, wide] = [3, 512];
    const bytes = packed(dtype, gaussians(5, rows * wide), wide);
    const format = weightFormat(dtype);
    const write = (data: Uint8Array, type: WeightType) => {
      const writer = backends[1]!.createWeight(rows, wide, type);
      const finite = writer.write({ dtype, rows, cols: wide, data }, 0);
      backends[1]!.freeWeight(writer.finish());
      return finite;
    };
    const block = matrixBytes(format, 1, Number(format.block.values));
    const isInfinite = (at: number): boolean => {
      const broken = bytes.slice();
      broken.set([0x00, 0x7c], at);
      return format.firstNonFinite(broken, rows, wide) >= 0;
    };
    const places = Array.from({ length: block - 1 }, (_, at) => at).filter(isInfinite);
    expect(places.length).toBe(
      dtype === "mxfp4" ? 0 : ["q4_1", "q5_1", "q2_k", "q4_k", "q5_k"].includes(dtype) ? 2 : 1,
    );
    for (const type of WEIGHT_TYPES) {
      expect(write(bytes, type), type).toBe(true);
      for (const place of places) {
        for (const first of [0, bytes.length - block]) {
          for (const bad of [0x7c00, 0xfc00, 0x7e01]) {
            const broken = bytes.slice();
            broken.set([bad & 255, bad >> 8], first + place);
            expect(write(broken, type), `${type}, byte ${first + place}: ${bad}`).toBe(false);
          }
        }
      }
    }
  });

  it.each([...BLOCK_TYPES, "bf16" as const])("takes %s out of memory that was lent as from anywhere", async (dtype) => {
    const [rows, wide] = [37, 512];
    const ops = backends[1]!;
    const data = packed(dtype, gaussians(6, rows * wide), wide);
    const before = ops.usedBytes;
    const lent = ops.lendMemory!(data.length + 100)!;
    const own = lent.bytes.subarray(100, 100 + data.length);
    own.set(data);
    for (const type of WEIGHT_TYPES) {
      const kept: Float32Array[] = [];
      for (const bytes of [data, own]) {
        const writer = ops.createWeight(rows + 2, wide, type);
        expect(writer.write({ dtype, rows, cols: wide, data: bytes }, 1)).toBe(true);
        const weight = writer.finish();
        kept.push(await stored(ops, weight));
        ops.freeWeight(weight);
      }
      expect(kept[1], type).toEqual(kept[0]);
    }
    lent.giveBack();
    expect(own, "nothing was written there").toEqual(data);
    expect(ops.usedBytes, "but for the memory of copies").toBeLessThanOrEqual(
      before! + 1.5 * 2 ** 20 + rows * wide * 8,
    );
    expect(backends[0]!.lendMemory!(64), "memory that moves").toBeNull();
  });

  it("takes 1.125 bytes a weight in q8, 0.625 in q4, and says so", () => {
    const bytes = (type: WeightType) => backends[0]!.loadWeight([partOf(new Float32Array(8 * 64), 64)], type).numBytes;
    expect(bytes("q8")).toBe(8 * 64 * 1.125);
    expect(bytes("q4")).toBe(8 * 64 * 0.625);
  });
});
