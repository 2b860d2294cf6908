/** @file Builds kernels whose sources have changed before any test: old ones would give wrong numbers and no error. */

/** Every project of vitest.config.ts calls this, in modules of its own; one build serves them all. */
const shared = globalThis as { freshKernels?: Promise<unknown> };

export default async function buildKernels(): Promise<void> {
  shared.freshKernels ??= import("../tools/build-kernels.ts");
  await shared.freshKernels;
}
