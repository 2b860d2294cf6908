/** @file Time of a compute pass on the device, by timestamps at its ends. */
import { BufferUsage, MAP_READ } from "../device/gpu-flags.ts";

/** Puts timestamps around every compute pass of a device. returns: nanoseconds of the latest pass */
export function timePasses(device: GPUDevice): () => Promise<number> {
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
  const resolved = device.createBuffer({ size: 16, usage: BufferUsage.queryResolve | BufferUsage.copySrc });
  const staging = device.createBuffer({ size: 16, usage: BufferUsage.mapRead | BufferUsage.copyDst });
  const createEncoder = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = () => {
    const encoder = createEncoder();
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = () =>
      begin({ timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } });
    return encoder;
  };
  return async () => {
    const encoder = createEncoder();
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    const [start, end] = new BigUint64Array(staging.getMappedRange().slice(0));
    staging.unmap();
    return Number(end! - start!);
  };
}
