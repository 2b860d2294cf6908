/** @file Device buffers with an identity, by which bind groups are found again, and a count of the allocated bytes. */
import { assert, TurboQuantError } from "../../../errors.ts";
import type { Buf } from "../../ops.ts";
import type { GpuContext } from "../device/context.ts";
import { BufferUsage } from "../device/gpu-flags.ts";
import { bufferBytes } from "./buffer-bytes.ts";

let nextId = 1;

/** A storage buffer. */
export class GpuBuffer {
  readonly id = nextId++;
  readonly raw: GPUBuffer;
  readonly numBytes: number;
  /** Number of the submit that was being recorded when it was last used. */
  usedIn = -1;
  constructor(raw: GPUBuffer, numBytes: number) {
    this.raw = raw;
    this.numBytes = numBytes;
  }
}

export class GpuBuf implements Buf {
  readonly buffer: GpuBuffer;
  readonly length: number;
  constructor(buffer: GpuBuffer, length: number) {
    this.buffer = buffer;
    this.length = length;
  }
}

/** The device buffer behind a handle, which must have room for `length` values. */
export function bufferOf(buf: Buf, length: number, what: string): GpuBuffer {
  assert(buf instanceof GpuBuf && buf.length >= length, `${what}: ${length} values do not fit the buffer`);
  return buf.buffer;
}

export class BufferAllocator {
  readonly #context: GpuContext;
  readonly #live = new Set<GpuBuffer>();
  #numBytes = 0;
  /** Destroys a freed buffer once no recorded work uses it. */
  onFree: (buffer: GpuBuffer) => void = ({ raw }) => raw.destroy();

  constructor(context: GpuContext) {
    this.#context = context;
  }

  /** Bytes of all live storage buffers. */
  get numBytes(): number {
    return this.#numBytes;
  }

  get count(): number {
    return this.#live.size;
  }

  /** A zeroed storage buffer, rounded up to 16 bytes. @throws TurboQuantError out_of_memory — larger than the device binds */
  allocate(numBytes: number, what: string): GpuBuffer {
    const size = bufferBytes(numBytes);
    const limit = this.#context.bindingBytes;
    if (size > limit) {
      throw new TurboQuantError(
        "out_of_memory",
        `webgpu: ${what} needs a buffer of ${size} bytes and the adapter binds at most ${limit}; choose fewer bits, a shorter context, or --backend wasm`,
        { requestedBytes: size, limitBytes: limit },
      );
    }
    const usage = BufferUsage.storage | BufferUsage.copySrc | BufferUsage.copyDst;
    const raw = this.#context.createBuffer({ label: what, size, usage });
    const buffer = new GpuBuffer(raw, size);
    this.#live.add(buffer);
    this.#numBytes += size;
    return buffer;
  }

  free(buffer: GpuBuffer): void {
    if (!this.#live.delete(buffer)) return;
    this.#numBytes -= buffer.numBytes;
    this.onFree(buffer);
  }

  dispose(): void {
    for (const buffer of [...this.#live]) this.free(buffer);
  }
}
