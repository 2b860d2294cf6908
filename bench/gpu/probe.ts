/** @file What the WebGPU adapter of this machine offers, as one JSON row: `npx tsx bench/gpu/probe.ts`. */
import { openNodeGpu } from "../../src/node/gpu.ts";

/** Properties of WebGPU objects are getters of their prototypes: own keys are empty. */
function properties(source: object): Record<string, unknown> {
  const entries: [string, unknown][] = [];
  for (const name in source) {
    const value = (source as Record<string, unknown>)[name];
    if (typeof value !== "object" && typeof value !== "function") entries.push([name, value]);
  }
  return Object.fromEntries(entries);
}

const { gpu, release } = await openNodeGpu();
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
if (adapter) {
  const { subgroupMatrixConfigs = [] } = adapter.info as { subgroupMatrixConfigs?: Iterable<object> };
  const row = {
    kind: "adapter",
    ...properties(adapter.info),
    features: [...adapter.features].sort(),
    wgslLanguageFeatures: [...gpu.wgslLanguageFeatures].sort(),
    subgroupMatrixConfigs: [...subgroupMatrixConfigs].map(properties),
    limits: properties(adapter.limits),
  };
  console.log(JSON.stringify(row));
} else {
  console.log(JSON.stringify({ kind: "adapter", error: "no adapter found: is there a driver with Vulkan?" }));
  process.exitCode = 1;
}
release?.();
