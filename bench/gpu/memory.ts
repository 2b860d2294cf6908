/** @file Device memory that a long cache takes: what we count, and by how much the driver's figure grows. */

import { fillCache } from "../../src/bench/memory.ts";
import { shapeConfig } from "../../src/models/shapes.ts";
import { usedDeviceBytes } from "./used-device-bytes.ts";

export async function* measureMemory(shape: string, kv: readonly string[], tokens: number): AsyncGenerator<object> {
  for (const spec of kv) {
    const config = shapeConfig(shape);
    const row = await fillCache({ config, kv: spec, tokens, backend: "webgpu", residentBytes: usedDeviceBytes });
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
