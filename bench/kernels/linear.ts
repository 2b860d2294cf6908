/**
 * @file Speed of the matrix kernels: `npx tsx bench/kernels/linear.ts [--threads 1,2] [--types q8,q4]`.
 *
 * GEMV (a token): GB/s of weights read. GEMM (a prompt): GFLOP/s, a multiply-add being two. The matrices of a layer of
 * qwen3-0.6b; for GEMV as many copies as pass the caches. The sum of each product's fastest run: other work only slows them.
 */
import "../../src/node/install.ts";
import type { Buf, Ops, Weight, WeightType } from "../../src/backends/ops.ts";
import { createWasmBackend } from "../../src/backends/wasm/backend.ts";
import { weightTypes } from "../../src/weights/registry.ts";
import { readCommandLine } from "../../tools/command-line.ts";

/** [outputs, inputs]: qkv, attention output, gate and up, down. */
const SHAPES: readonly (readonly [number, number])[] = [
  [4096, 1024],
  [1024, 2048],
  [6144, 1024],
  [1024, 3072],
];
const COLD_BYTES = 256e6;
/** Rows of sequences that decode together. */
const STREAM_ROWS = [1, 2, 4, 8];
const PROMPT_ROWS = 256;

function randomWeight(ops: Ops, rows: number, cols: number, type: WeightType): Weight {
  const words = new Uint16Array(rows * cols);
  // bf16 of ±[0.0078, 0.031): any bits will do as long as they are finite and normal.
  let state = 1;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = ((state >>> 16) & 0x80ff) | 0x3c00;
  }
  return ops.loadWeight([{ dtype: "bf16", rows, cols, data: new Uint8Array(words.buffer) }], type);
}

/** Sum of the fastest of `count` runs of each in milliseconds, after a warm-up in which the engine compiles. */
function fastest(count: number, products: readonly (() => void)[]): number {
  const warm = performance.now() + 400;
  while (performance.now() < warm) for (const run of products) run();
  const best = products.map(() => Number.POSITIVE_INFINITY);
  for (let i = 0; i < count; i++) {
    for (const [k, run] of products.entries()) {
      const start = performance.now();
      run();
      best[k] = Math.min(best[k]!, performance.now() - start);
    }
  }
  return best.reduce((sum, ms) => sum + ms, 0);
}

async function measure(threads: number, types: readonly WeightType[]): Promise<void> {
  for (const type of types) {
    const ops = await createWasmBackend({ threads });
    const layer = (): Weight[] => SHAPES.map(([n, k]) => randomWeight(ops, n, k, type));
    const layers = [layer()];
    const layerBytes = layers[0]!.reduce((sum, w) => sum + w.numBytes, 0);
    while (layers.length * layerBytes < COLD_BYTES) layers.push(layer());
    const weights = layers.flat();
    const x = ops.alloc(PROMPT_ROWS * 3072);
    const out = ops.alloc(PROMPT_ROWS * 6144);
    const fill = randomWeight(ops, PROMPT_ROWS, 3072, "f32");
    const tokens = Int32Array.from({ length: PROMPT_ROWS }, (_, i) => i);
    const step = { tokens, positions: tokens, spans: [], logitRows: tokens };
    ops.beginStep(step, []);
    ops.embed(step, fill, x);

    const cells: string[] = [];
    for (const rows of STREAM_ROWS) {
      const ms = fastest(5, products(ops, weights, x, rows, out));
      cells.push(`${(((weights.length / SHAPES.length) * layerBytes) / ms / 1e6).toFixed(1).padStart(6)} GB/s`);
    }
    const macs = SHAPES.reduce((sum, [n, k]) => sum + n * k, 0) * PROMPT_ROWS;
    const ms = fastest(5, products(ops, layers[0]!, x, PROMPT_ROWS, out));
    cells.push(`${((2 * macs) / ms / 1e6).toFixed(1).padStart(6)} GFLOP/s`);
    console.log(`| ${type.padEnd(4)} | ${String(threads).padStart(7)} | ${cells.join(" | ")} |`);
    await ops.dispose();
  }
}

function products(ops: Ops, weights: readonly Weight[], x: Buf, rows: number, out: Buf): readonly (() => void)[] {
  return weights.map((weight) => () => ops.linear(x, weight, null, rows, out, false));
}

const { values } = readCommandLine({
  options: {
    threads: { type: "string", default: "1,2" },
    types: { type: "string", default: weightTypes().join(",") },
  },
});
const types = values.types.split(",") as WeightType[];
console.log(
  `| type | threads | ${STREAM_ROWS.map((rows) => `${rows} ${rows === 1 ? "row" : "rows"}`).join(" | ")} | ${PROMPT_ROWS} rows |\n|---|---|${STREAM_ROWS.map(() => "---|").join("")}---|`,
);
for (const threads of values.threads.split(",")) await measure(Number(threads), types);
