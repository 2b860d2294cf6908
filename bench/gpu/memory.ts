/** @file Device memory that a long cache takes: what we count, and by how much the driver's figure grows. */
import { execFileSync } from "node:child_process";
import { benchShape } from "../../src/bench/bench-model.ts";
import { fillCache } from "../../src/bench/memory.ts";

/** Bytes in use on the first NVIDIA GPU, by nvidia-smi; NaN without one. */
function usedBytes(): number {
  try {
    const args = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    return Number(execFileSync("nvidia-smi", args, { encoding: "utf8" }).split("\n")[0]) * 2 ** 20;
  } catch {
    return Number.NaN;
  }
}

export async function* measureMemory(shape: string, kv: readonly string[], tokens: number): AsyncGenerator<object> {
  for (const spec of kv) {
    const config = benchShape(shape);
    const row = await fillCache({ config, kv: spec, tokens, backend: "webgpu", residentBytes: usedBytes });
    yield {
      kind: "memory",
      shape,
      kv: spec,
      context: tokens,
      kvBytes: row.numBytes,
      storageBytes: row.storageBytes,
      deviceBytes: row.residentBytes,
    };
  }
}
