/**
 * @file Speed of assembly/linear/linear.ts on one thread: `npx tsx bench/kernels/linear-rows.ts`.
 *
 * GEMV: GB/s of weights of 3072 × 1024 matrices, as many as fill more than 64 MB, so that they come from memory. GEMM:
 * 256 × 1024 · 1024 × 3072, a multiply-add being two operations. The fastest of several runs: other work only slows them.
 */
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import {
  type StoredType,
  writeLinearParams,
  writeQuantizeActivationsParams,
} from "../../src/backends/wasm/linear-params.ts";

type Kernel = (task: number, params: number, scratch: number) => void;

const [OUT_ROWS, COLS, PROMPT_ROWS] = [3072, 1024, 256];
const COLD_BYTES = 96e6;
const RUNS = 12;
const BYTES = { f32: 4, f16: 2, bf16: 2, q8: 1 } as const;

async function compile(memory: WebAssembly.Memory): Promise<Record<string, Kernel>> {
  let binary: Uint8Array<ArrayBuffer> | undefined;
  const { error, stderr } = await asc.main(
    [
      ...[
        "assembly/linear/linear.ts",
        "--outFile",
        "k.wasm",
        "--baseDir",
        fileURLToPath(new URL("../..", import.meta.url)),
      ],
      ...["-O3", "--noAssert", "--runtime", "stub", "--importMemory", "--sharedMemory", "--initialMemory", "1"],
      ...["--maximumMemory", "65536", "--use", "abort=", "--enable", "simd,threads"],
    ],
    {
      writeFile: (file: string, contents: string | Uint8Array) => {
        if (file.endsWith(".wasm")) binary = new Uint8Array(contents as Uint8Array);
      },
    },
  );
  if (error || !binary) throw new Error(stderr.toString());
  const { instance } = await WebAssembly.instantiate(binary, { env: { memory } });
  return instance.exports as unknown as Record<string, Kernel>;
}

/** Fastest run in seconds, after a warm-up in which the engine compiles. */
function fastest(run: () => void): number {
  const warm = performance.now() + 500;
  while (performance.now() < warm) run();
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now();
    run();
    best = Math.min(best, performance.now() - start);
  }
  return best / 1000;
}

const memory = new WebAssembly.Memory({ initial: 2800, maximum: 65536, shared: true });
const view = new DataView(memory.buffer);
const kernels = await compile(memory);
const [params, scratch] = [0, 64];
const x = scratch + 512 * 1024;
const codes = x + PROMPT_ROWS * COLS * 4;
const xScale = codes + PROMPT_ROWS * COLS * 2;
const out = xScale + PROMPT_ROWS * 4;
const wScale = out + PROMPT_ROWS * OUT_ROWS * 4;
const weights = wScale + COLD_BYTES / 8;

const floats = new Float32Array(memory.buffer);
for (let i = 0; i < PROMPT_ROWS * COLS; i++) floats[x / 4 + i] = Math.sin(i);
floats.fill(0.01, wScale / 4, weights / 4);
// Bits that are finite and normal numbers in every type.
const words = new Uint32Array(memory.buffer, weights);
for (let i = 0, state = 1; i < words.length; i++) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  words[i] = (state & 0x83ff83ff) | 0x3c003c00;
}

function run(name: string, tasks: number): void {
  for (let t = 0; t < tasks; t++) kernels[name]!(t, params, scratch);
}

function multiply(type: StoredType, copy: number, rows: number): void {
  const isQ8 = type === "q8";
  if (isQ8) {
    const p = { x, codes, scales: xScale, rows, cols: COLS };
    run("quantizeActivations", writeQuantizeActivationsParams(view, params, p));
  }
  const size = OUT_ROWS * COLS;
  const p = {
    ...{ x: isQ8 ? codes : x, xScale, w: weights + copy * size * BYTES[type], wScale: wScale + (copy * size) / 8 },
    ...{ bias: 0, out, rows, cols: COLS, outRows: OUT_ROWS, type, add: false },
  };
  run("linear", writeLinearParams(view, params, p));
}

const cell = (v: number): string => v.toFixed(1).padStart(6);
console.log(`| type | 1 row GB/s | 2 rows | 4 rows | ${PROMPT_ROWS} rows GFLOP/s |\n|---|---|---|---|---|`);
for (const type of ["q8", "bf16", "f16", "f32"] as const) {
  // q8 reads a scale for each 32 codes as well.
  const matrixBytes = OUT_ROWS * COLS * BYTES[type] * (type === "q8" ? 1.125 : 1);
  const copies = Math.floor(COLD_BYTES / (OUT_ROWS * COLS * BYTES[type]));
  const speeds = [1, 2, 4].map((rows) => {
    const seconds = fastest(() => {
      for (let copy = 0; copy < copies; copy++) multiply(type, copy, rows);
    });
    return (copies * matrixBytes) / seconds / 1e9;
  });
  const prompt = (2 * PROMPT_ROWS * COLS * OUT_ROWS) / fastest(() => multiply(type, 0, PROMPT_ROWS)) / 1e9;
  console.log(`| ${type.padEnd(4)} | ${speeds.map(cell).join(" | ")} | ${cell(prompt)} |`);
}
