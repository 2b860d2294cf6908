/** @file Chooses between the strict and the relaxed SIMD module. */
import { compileKernels, instantiate, type KernelVariant, supportsRelaxed } from "./load-kernels.ts";

/** Some engines compute relaxed SIMD wrongly in one of their compiler tiers, so the test runs often enough to reach the last tier. */
const ROUNDS = 400;
const OUTPUT = 80;

/**
 * `auto`: relaxed if the engine supports it and its results agree with the strict ones.
 * @throws TurboQuantError unsupported — no SIMD in this engine
 */
export async function chooseVariant(
  relaxed: "auto" | "off",
  shared: boolean,
): Promise<{ variant: KernelVariant; module: WebAssembly.Module }> {
  if (relaxed === "auto" && supportsRelaxed() && (await relaxedAgrees())) {
    return { variant: "relaxed", module: await compileKernels("relaxed", shared) };
  }
  return { variant: "strict", module: await compileKernels("strict", shared) };
}

/** Whether table lookups are equal and multiply-adds differ by at most one rounding. */
async function relaxedAgrees(): Promise<boolean> {
  const outputs = await Promise.all(
    (["strict", "relaxed"] as const).map(async (variant) => {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
      const kernels = instantiate(await compileKernels(variant, false), memory);
      return { memory, run: kernels["selfTest"]! };
    }),
  );
  for (let round = 0; round < ROUNDS; round++) {
    const results = outputs.map(({ memory, run }) => {
      const bytes = new Uint8Array(memory.buffer);
      for (let i = 0; i < 16; i++) {
        bytes[i] = (i * 37 + round) & 255;
        bytes[16 + i] = (i * 7 + round) & 15;
      }
      const floats = new Float32Array(memory.buffer, 32, 12);
      for (let i = 0; i < 12; i++) floats[i] = Math.sin(round * 12 + i);
      run(0, 0, 0);
      return { bytes: bytes.slice(OUTPUT, OUTPUT + 16), floats: new Float32Array(memory.buffer, OUTPUT + 16, 4) };
    });
    const [strict, relaxed] = results as [(typeof results)[0], (typeof results)[0]];
    if (strict.bytes.some((byte, i) => byte !== relaxed.bytes[i])) return false;
    // For |a|, |b|, |c| ≤ 1, rounding the product or the sum changes less than 2⁻²³.
    if (strict.floats.some((value, i) => !(Math.abs(value - relaxed.floats[i]!) <= 2 ** -22))) return false;
  }
  return true;
}
