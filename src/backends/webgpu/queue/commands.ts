/**
 * @file The order of work on the device: dispatches gather in one compute pass, and everything up to a wait is one submit.
 *
 * In a warm-up dispatches are not queued: what they need (kernels, bind groups, buffers of their callers) is made ahead.
 *
 * The numbers of a dispatch are a slot of a uniform buffer (uniforms.ts).
 */
import { assert } from "../../../errors.ts";
import type { OnKernel } from "../../ops.ts";
import type { Fields, Struct, Values, ValuesOf } from "../../parameters/struct.ts";
import type { GpuContext } from "../device/context.ts";
import { BufferUsage, MAP_READ } from "../device/gpu-flags.ts";
import { MAX_RETIRED_BYTES } from "./buffer-bytes.ts";
import type { BufferAllocator, GpuBuffer } from "./buffers.ts";
import { Kernel, type KernelSpec } from "./kernel.ts";
import { Uniforms } from "./uniforms.ts";

/** Bytes of writes after which their end is waited for. */
const MAX_WRITTEN_BYTES = 64 << 20;
/** The most workgroups in one dimension that every adapter accepts. */
export const MAX_GROUPS = 65535;

/**
 * A dispatch that is queued again and again with the same numbers and buffers. Where its numbers lie and its bind group are
 * looked up once and kept as long as they hold.
 */
export interface PreparedDispatch {
  readonly kernel: Kernel<Struct>;
  readonly params: Values<Fields>;
  readonly buffers: readonly GpuBuffer[];
  readonly x: number;
  readonly y: number;
  /** What was looked up, and the count of lookups that it belongs to. */
  lookups: number;
  offset: number;
  group: GPUBindGroup | null;
}

export class Commands {
  readonly context: GpuContext;
  readonly #kernels = new Map<string, Kernel<Struct>>();
  readonly #uniforms: Uniforms;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #staging: GPUBuffer | null = null;
  #submits = 0;
  #dispatches = 0;
  /** Buffers that were freed but are used by recorded work. */
  readonly #retired: GpuBuffer[] = [];
  #retiredBytes = 0;
  #writtenBytes = 0;
  #writesEnded: Promise<unknown> = Promise.resolve();
  #isWarmingUp = false;
  /** Rises when what prepared dispatches have looked up may no longer hold. */
  #lookups = 0;
  #compilation = { kernels: 0, ms: 0 };

  constructor(context: GpuContext, allocator: BufferAllocator) {
    this.context = context;
    const onFull = (): void => {
      this.flush();
      this.#lookups++;
    };
    this.#uniforms = context.own(() => new Uniforms(context.device, onFull));
    allocator.onFree = (buffer) => {
      this.#lookups++;
      for (const kernel of this.#kernels.values()) kernel.forget(buffer);
      this.#destroy(buffer);
    };
  }

  /** Submits and dispatches so far, for tests and `--explain`. */
  get counts(): { readonly submits: number; readonly dispatches: number } {
    return { submits: this.#submits, dispatches: this.#dispatches };
  }

  get isWarmingUp(): boolean {
    return this.#isWarmingUp;
  }

  /** Number of kernels compiled ahead so far, and the time that took. */
  get compilation(): { readonly kernels: number; readonly ms: number } {
    return this.#compilation;
  }

  /**
   * Runs `queue` without queueing its dispatches, and waits until every kernel it used is compiled; they compile at the same
   * time and do not block the thread. Copies and writes are queued, so that constants are in place.
   *
   * onKernel: called with 0 before they compile, then after each; not at all when every kernel exists already
   */
  async warmUp(queue: () => void, onKernel?: OnKernel): Promise<void> {
    this.#isWarmingUp = true;
    const known = new Set(this.#kernels.values());
    try {
      queue();
    } finally {
      this.#isWarmingUp = false;
    }
    this.flush();
    const started = performance.now();
    const made = [...this.#kernels.values()].filter((kernel) => !known.has(kernel));
    let done = 0;
    if (made.length > 0) onKernel?.(done, made.length);
    // After a failure the other kernels still finish, but their progress is no longer reported.
    let isOver = false;
    const note = (): void => {
      if (!isOver) onKernel?.(++done, made.length);
    };
    try {
      await Promise.all(made.map((kernel) => kernel.compile().then(note)));
    } finally {
      isOver = true;
    }
    this.#compilation = {
      kernels: this.#compilation.kernels + made.length,
      ms: this.#compilation.ms + performance.now() - started,
    };
  }

  /** The kernel with this key, made on first use. */
  kernel<P extends Struct>(key: string, make: () => KernelSpec<P>): Kernel<P> {
    let kernel = this.#kernels.get(key) as Kernel<P> | undefined;
    if (!kernel) {
      kernel = new Kernel(this.context, this.#uniforms.buffer, make());
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  /** Labels of the kernels made so far, for `--explain`. */
  get kernelLabels(): string[] {
    return [...new Set([...this.#kernels.values()].map(({ label }) => label))];
  }

  /** Queues a dispatch. params: every field of the kernel's block; buffers: storage at binding 1, 2, … */
  dispatch<P extends Struct>(
    kernel: Kernel<P>,
    params: NoInfer<ValuesOf<P>>,
    buffers: readonly GpuBuffer[],
    x: number,
    y = 1,
    z = 1,
  ): void {
    if (x === 0 || y === 0 || z === 0) return;
    assert(x <= MAX_GROUPS && y <= MAX_GROUPS && z <= MAX_GROUPS, `${kernel.label}: a grid of ${x}x${y}x${z}`);
    const group = kernel.bindGroup(buffers);
    if (this.#isWarmingUp) return;
    const offset = this.#uniforms.offsetOf(kernel.params, params as Values<Fields>);
    this.#queue(kernel.pipeline, group, offset, buffers, x, y, z);
  }

  /** Arguments as of `dispatch`. */
  prepare<P extends Struct>(
    kernel: Kernel<P>,
    params: NoInfer<ValuesOf<P>>,
    buffers: readonly GpuBuffer[],
    x: number,
    y: number,
  ): PreparedDispatch {
    assert(x > 0 && x <= MAX_GROUPS && y > 0 && y <= MAX_GROUPS, `${kernel.label}: a grid of ${x}x${y}`);
    const found = { lookups: -1, offset: 0, group: null };
    return { kernel: kernel as unknown as Kernel<Struct>, params: params as Values<Fields>, buffers, x, y, ...found };
  }

  /** Queues a dispatch that was prepared. */
  run(prepared: PreparedDispatch): void {
    const { kernel, buffers, x, y } = prepared;
    if (prepared.lookups !== this.#lookups || this.#isWarmingUp) {
      prepared.group = kernel.bindGroup(buffers);
      if (this.#isWarmingUp) return;
      // Making room for the numbers may end earlier lookups.
      prepared.offset = this.#uniforms.offsetOf(kernel.params, prepared.params);
      prepared.lookups = this.#lookups;
    }
    this.#queue(kernel.pipeline, prepared.group!, prepared.offset, buffers, x, y, 1);
  }

  copy(from: GpuBuffer, fromOffset: number, to: GpuBuffer, toOffset: number, numBytes: number): void {
    this.#endPass();
    from.usedIn = this.#submits;
    to.usedIn = this.#submits;
    this.#encode().copyBufferToBuffer(from.raw, fromOffset, to.raw, toOffset, numBytes);
  }

  clear(buffer: GpuBuffer, offset: number, numBytes: number): void {
    this.#endPass();
    buffer.usedIn = this.#submits;
    this.#encode().clearBuffer(buffer.raw, offset, numBytes);
  }

  /** Writes after everything queued so far. Recorded work that does not use the buffer may run after the write. */
  write(buffer: GpuBuffer, offset: number, data: Uint8Array | Uint32Array | Float32Array): void {
    if (buffer.usedIn === this.#submits) this.flush();
    this.#writtenBytes += data.byteLength;
    const { queue } = this.context.device;
    const { buffer: from, byteOffset, byteLength } = data;
    this.context.own(() => queue.writeBuffer(buffer.raw, offset, from as ArrayBuffer, byteOffset, byteLength));
  }

  /**
   * For callers that write much: the queue keeps a copy of what is written until a submit has ended. At every 64 MiB that of the
   * 64 MiB before has to be waited for.
   */
  drain(): Promise<unknown> | null {
    if (this.#writtenBytes < MAX_WRITTEN_BYTES) return null;
    this.#writtenBytes = 0;
    this.flush();
    const { queue } = this.context.device;
    queue.submit([]);
    const before = this.#writesEnded;
    this.#writesEnded = queue.onSubmittedWorkDone();
    return before;
  }

  /**
   * Submits a copy between `own` and a buffer of others, behind everything queued. It is a submit of its own: what is wrong with the other buffer
   * leaves the work of this backend as it is.
   *
   * returns: what the device says against it, or null
   */
  copyApart(own: GpuBuffer, encode: (encoder: GPUCommandEncoder) => void): Promise<string | null> {
    this.context.check();
    if (own.usedIn === this.#submits) this.flush();
    const { device } = this.context;
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder();
    encode(encoder);
    device.queue.submit([encoder.finish()]);
    return this.context.wait(device.popErrorScope()).then((error) => error?.message ?? null);
  }

  /** Submits everything queued to the device. */
  flush(): void {
    const encoder = this.#encoder;
    if (!encoder) return;
    this.#endPass();
    this.context.own(() => {
      this.#uniforms.upload();
      this.context.device.queue.submit([encoder.finish()]);
    });
    this.#encoder = null;
    this.#submits++;
    this.#destroyRetired();
  }

  /** Waits for everything queued and reads `numBytes` (a multiple of 4) back. */
  async read(buffer: GpuBuffer, offset: number, numBytes: number): Promise<ArrayBuffer> {
    this.context.check();
    // Reads may overlap: each takes the staging buffer, and the last one returns it.
    let staging = this.#staging;
    this.#staging = null;
    if (!staging || staging.size < numBytes) {
      staging?.destroy();
      staging = this.context.createBuffer({
        label: "readback",
        size: Math.max(1024, 2 ** Math.ceil(Math.log2(numBytes))),
        usage: BufferUsage.mapRead | BufferUsage.copyDst,
      });
    }
    this.#endPass();
    this.#encode().copyBufferToBuffer(buffer.raw, offset, staging, 0, numBytes);
    this.flush();
    await this.context.wait(staging.mapAsync(MAP_READ, 0, numBytes));
    const copy = staging.getMappedRange(0, numBytes).slice(0);
    staging.unmap();
    const other = this.#staging as GPUBuffer | null;
    other?.destroy();
    this.#staging = staging;
    return copy;
  }

  dispose(): void {
    this.#encoder = null;
    this.#pass = null;
    this.#destroyRetired();
    this.#uniforms.buffer.destroy();
    this.#staging?.destroy();
  }

  /** A buffer that recorded work uses is kept until the submit. Only a large one is a reason to submit earlier. */
  #destroy(buffer: GpuBuffer): void {
    if (!this.#encoder || buffer.usedIn !== this.#submits) {
      buffer.raw.destroy();
      return;
    }
    this.#retired.push(buffer);
    this.#retiredBytes += buffer.numBytes;
    if (this.#retiredBytes > MAX_RETIRED_BYTES) this.flush();
  }

  #destroyRetired(): void {
    for (const { raw } of this.#retired) raw.destroy();
    this.#retired.length = 0;
    this.#retiredBytes = 0;
  }

  #queue(
    pipeline: GPUComputePipeline,
    group: GPUBindGroup,
    offset: number,
    buffers: readonly GpuBuffer[],
    x: number,
    y: number,
    z: number,
  ): void {
    this.#pass ??= this.#encode().beginComputePass();
    this.#pass.setPipeline(pipeline);
    this.#pass.setBindGroup(0, group, [offset]);
    this.#pass.dispatchWorkgroups(x, y, z);
    for (const buffer of buffers) buffer.usedIn = this.#submits;
    this.#dispatches++;
  }

  #encode(): GPUCommandEncoder {
    this.#encoder ??= this.context.device.createCommandEncoder();
    return this.#encoder;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = null;
  }
}
