/** @file Attention of spans on this adapter, by the kernel it would choose, against the reference: one row a case. */
import { openDevice } from "../../src/backends/webgpu/device/open-device.ts";
import { BufferAllocator } from "../../src/backends/webgpu/queue/buffers.ts";
import { Commands } from "../../src/backends/webgpu/queue/commands.ts";
import { runPrefill, worstError } from "../../test/support/webgpu-prefill.ts";
import {
  MATRIX_CASES,
  matrixTolerance,
  PREFILL_CASES,
  prefillCaseText,
  prefillTolerance,
} from "../../test/support/webgpu-prefill-cases.ts";

export async function* checkPrefill(): AsyncGenerator<object> {
  const cases = [...Object.values(PREFILL_CASES).flat(), ...MATRIX_CASES];
  for (const c of cases) {
    // A device of its own: the first error is the device's last.
    const context = await openDevice();
    const allocator = new BufferAllocator(context);
    const commands = new Commands(context, allocator);
    const row = { kind: "prefill-check", case: prefillCaseText(c), device: context.adapterName };
    try {
      const error = worstError(
        await runPrefill(
          {
            commands,
            allocator,
            upload(data) {
              const buffer = allocator.allocate(data.byteLength, "check");
              commands.write(buffer, 0, data);
              return buffer;
            },
            readFloats: async (buffer, length) => new Float32Array(await commands.read(buffer, 0, length * 4)),
          },
          c,
        ),
      );
      const onMatrices = commands.kernelLabels.some((label) => label.includes("matrix units"));
      const limit = onMatrices ? matrixTolerance(c) : prefillTolerance(c.kv);
      const isMissed = context.features.matrices && MATRIX_CASES.includes(c) && !onMatrices;
      yield {
        ...{ ...row, onMatrices, passed: error <= limit && !isMissed, error: Number(error.toExponential(2)), limit },
        ...(isMissed && { failed: "expected matrix units, which this device has, got another kernel" }),
      };
    } catch (error) {
      yield { ...row, passed: false, failed: String((error as Error).message ?? error) };
    }
    commands.dispose();
    allocator.dispose();
    context.dispose();
  }
}
