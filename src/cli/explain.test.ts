/** @file `--explain` names the backend, why it was chosen and what of a device is used. */
import { describe, expect, it } from "vitest";
import { runCommand } from "../../test/support/cli-io.ts";
import { gpuSkip } from "../../test/support/gpu.ts";

const ARGS = ["run", "-m", "qwen3-1m", "--raw", "The", "-n", "3", "--temp", "0", "--explain", "--quiet", "--kv", "f16"];

describe("--explain", () => {
  it("says why auto chose what it chose", async () => {
    const { code, err } = await runCommand([...ARGS, "--threads", "1"]);
    expect(code).toBe(0);
    expect(err).toContain("backend auto: wasm, because a number of threads was asked for");
  });

  it.skipIf(gpuSkip)("names adapter, features and limits of a device, and the text is that of the CPU", async () => {
    const gpu = await runCommand([...ARGS, "--backend", "webgpu"]);
    expect(gpu.code).toBe(0);
    expect(gpu.err).toMatch(/backend: webgpu \S+/);
    expect(gpu.err).toMatch(/adapter: .+\n.*features: .+\n.*limits: buffers [\d,.]+ MiB/);
    expect(gpu.err).toMatch(/decode attention: (each subgroup of \d+|through workgroup memory, because)/);
    expect(gpu.err).toMatch(/matrix products: few rows .*; many (on matrix units|in (small )?f32 tiles, because)/);
    const cpu = await runCommand([...ARGS, "--backend", "wasm"]);
    expect(gpu.out).toBe(cpu.out);
  });
});
