/**
 * @file The order of work on the device: dispatches gather in one compute pass, and everything up to a wait is one submit.
 *
 * In a warm-up dispatches are not queued: what they need (kernels, bind groups, buffers of their callers) is made ahead.
 *
 * Scalars of a dispatch are a 256-byte slot of a uniform arena, found again by their content: a layer that runs with the
 * same numbers as before uploads nothing.
 */
import { assert } from "../../../errors.ts";
import type { OnKernel } from "../../ops.ts";
import type { GpuContext } from "../device/context.ts";
import { BufferUsage, MAP_READ } from "../device/gpu-flags.ts";
import type { BufferAllocator, GpuBuffer } from "./buffers.ts";
import { Kernel, type KernelSpec, PARAM_BYTES } from "./kernel.ts";

const SLOTS = 4096;
const WORDS = PARAM_BYTES / 4;
/** Freed memory that waits for a submit of its own accord. */
const MAX_RETIRED_BYTES = 64 << 20;
/** Workgroups of one dimension that every adapter takes. */
export const MAX_GROUPS = 65535;

const floatWord = new Float32Array(1);
const bits = new Uint32Array(floatWord.buffer);
/** The word that a kernel reads as an f32. */
export function f32Word(value: number): number {
  floatWord[0] = value;
  return bits[0]!;
}

export class Commands {
  readonly context: GpuContext;
  readonly #kernels = new Map<string, Kernel>();
  readonly #uniforms: GPUBuffer;
  readonly #slots = new Map<string, number>();
  readonly #staged = new Uint32Array(SLOTS * WORDS);
  #uploaded = 0;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  #staging: GPUBuffer | null = null;
  #submits = 0;
  #dispatches = 0;
  /** Freed, and used by what is recorded. */
  readonly #retired: GpuBuffer[] = [];
  #retiredBytes = 0;
  #isWarmingUp = false;
  #compilation = { kernels: 0, ms: 0 };

  constructor(context: GpuContext, allocator: BufferAllocator) {
    this.context = context;
    this.#uniforms = context.device.createBuffer({
      label: "parameters",
      size: SLOTS * PARAM_BYTES,
      usage: BufferUsage.uniform | BufferUsage.copyDst,
    });
    allocator.onFree = (buffer) => {
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

  /** Kernels compiled ahead so far, and how long that took. */
  get compilation(): { readonly kernels: number; readonly ms: number } {
    return this.#compilation;
  }

  /**
   * Runs `queue` without queueing its dispatches, and waits until every kernel that it met is compiled, all at once and
   * without holding up the thread. Copies and writes are queued: constants are in place when they are needed.
   *
   * onKernel: told of none done before they compile, then of each; not at all when every kernel is known
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
    // After a failure the others still arrive, and nobody waits for them.
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

  /** The kernel of that name, made when first asked for. */
  kernel(key: string, make: () => KernelSpec): Kernel {
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      kernel = new Kernel(this.context, this.#uniforms, make());
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  /** Labels of the kernels made so far: what `--explain` shows. */
  get kernelLabels(): string[] {
    return [...new Set([...this.#kernels.values()].map(({ label }) => label))];
  }

  /** Queues a dispatch. words: scalars of the uniform block; buffers: storage at binding 1, 2, … */
  dispatch(kernel: Kernel, words: readonly number[], buffers: readonly GpuBuffer[], x: number, y = 1, z = 1): void {
    if (x === 0 || y === 0 || z === 0) return;
    assert(x <= MAX_GROUPS && y <= MAX_GROUPS && z <= MAX_GROUPS, `${kernel.label}: a grid of ${x}x${y}x${z}`);
    if (this.#isWarmingUp) {
      kernel.bindGroup(buffers);
      return;
    }
    const slot = this.#slot(words);
    this.#pass ??= this.#encode().beginComputePass();
    this.#pass.setPipeline(kernel.pipeline);
    this.#pass.setBindGroup(0, kernel.bindGroup(buffers), [slot * PARAM_BYTES]);
    this.#pass.dispatchWorkgroups(x, y, z);
    for (const buffer of buffers) buffer.usedIn = this.#submits;
    this.#dispatches++;
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

  /** Writes after everything queued so far; what is recorded and does not use the buffer may run later. */
  write(buffer: GpuBuffer, offset: number, data: Uint8Array | Uint32Array | Float32Array): void {
    if (buffer.usedIn === this.#submits) this.flush();
    this.context.device.queue.writeBuffer(
      buffer.raw,
      offset,
      data.buffer as ArrayBuffer,
      data.byteOffset,
      data.byteLength,
    );
  }

  /** Hands everything queued to the device. */
  flush(): void {
    if (!this.#encoder) return;
    this.#endPass();
    this.#upload();
    this.context.device.queue.submit([this.#encoder.finish()]);
    this.#encoder = null;
    this.#submits++;
    this.#destroyRetired();
  }

  /** Waits for everything queued and copies `numBytes` (a multiple of 4) back. */
  async read(buffer: GpuBuffer, offset: number, numBytes: number): Promise<ArrayBuffer> {
    this.context.check();
    // Readers may overlap: each takes the staging buffer with it and the last one leaves it behind.
    let staging = this.#staging;
    this.#staging = null;
    if (!staging || staging.size < numBytes) {
      staging?.destroy();
      staging = this.context.device.createBuffer({
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
    this.#uniforms.destroy();
    this.#staging?.destroy();
  }

  /** What is recorded keeps its buffers until it is submitted; freeing one is no reason to submit, unless it is large. */
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

  #encode(): GPUCommandEncoder {
    this.#encoder ??= this.context.device.createCommandEncoder();
    return this.#encoder;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = null;
  }

  #slot(words: readonly number[]): number {
    const key = words.join();
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      if (this.#slots.size === SLOTS) {
        this.flush();
        this.#slots.clear();
        this.#uploaded = 0;
      }
      slot = this.#slots.size;
      this.#slots.set(key, slot);
      this.#staged.fill(0, slot * WORDS, (slot + 1) * WORDS);
      this.#staged.set(words, slot * WORDS);
    }
    return slot;
  }

  /** Sends the slots that are new since the last submit. */
  #upload(): void {
    const end = this.#slots.size;
    if (end === this.#uploaded) return;
    this.context.device.queue.writeBuffer(
      this.#uniforms,
      this.#uploaded * PARAM_BYTES,
      this.#staged,
      this.#uploaded * WORDS,
      (end - this.#uploaded) * WORDS,
    );
    this.#uploaded = end;
  }
}
