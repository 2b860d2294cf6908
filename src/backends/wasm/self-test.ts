/** @file Relaxed SIMD may round and look up differently from device to device: it is used only where it proves itself. */
import { compileKernels, instantiate, type KernelVariant, supportsRelaxed } from "./load-kernels.ts";
import { WasmMemory } from "./memory.ts";

let chosen: Promise<KernelVariant> | undefined;

/** `relaxed` when the engine has it and a matrix product agrees with the strict one; asked once a process. */
export function chooseVariant(): Promise<KernelVariant> {
  chosen ??= test();
  return chosen;
}

/** Relative difference allowed: a fused multiply-add rounds once where the strict kernel rounds twice. */
const TOLERANCE = 1e-5;

async function test(): Promise<KernelVariant> {
  if (!supportsRelaxed()) return "strict";
  try {
    const [a, b] = [await product("strict"), await product("relaxed")];
    return a.every((x, i) => Math.abs(x - b[i]!) <= TOLERANCE * (1 + Math.abs(x))) ? "relaxed" : "strict";
  } catch {
    return "strict";
  }
}

/** One f32 product of 8 × 64 values with a single row, through the linear kernel. */
async function product(variant: KernelVariant): Promise<Float32Array> {
  const memory = new WasmMemory(false, 4 << 20);
  const kernels = instantiate(await compileKernels(variant, false), memory.memory);
  const [rows, cols] = [8, 64];
  const params = memory.allocateZeroed(64, "self-test");
  const x = memory.allocateZeroed(cols * 4, "self-test");
  const w = memory.allocateZeroed(rows * cols * 4, "self-test");
  const out = memory.allocateZeroed(rows * 4, "self-test");
  const scratch = memory.allocateZeroed(64, "self-test");
  for (let i = 0; i < cols; i++) memory.f32[x / 4 + i] = Math.sin(i + 1);
  for (let i = 0; i < rows * cols; i++) memory.f32[w / 4 + i] = Math.cos(i * 0.37);
  memory.u32.set([x, 0, w, 0, out, 1, rows, cols, 0, rows], params / 4);
  kernels["linearF32"]!(0, params, scratch);
  return memory.f32.slice(out / 4, out / 4 + rows);
}
