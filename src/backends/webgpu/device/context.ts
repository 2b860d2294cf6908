/**
 * @file An open device and the first error on it.
 *
 * WebGPU reports errors away from the call that caused them. The first one is kept here and rejects the caller's next wait
 * (`readback`, a page read), so no error is only in the console.
 *
 * On a device of our own every error is ours. Where others use the device too, error scopes around our own calls (`own`) tell ours from theirs.
 */
import { TurboQuantError } from "../../../errors.ts";

export interface GpuFeatures {
  /** f16 arithmetic and storage in shaders. */
  readonly f16: boolean;
  readonly subgroups: boolean;
  /** Lanes in a subgroup if the adapter has only one size; 0 when it varies or is unknown. */
  readonly subgroupSize: number;
  readonly timestamps: boolean;
  /** f16 × f16 → f32 matrices of 16×16×16 on subgroups (experimental). */
  readonly matrices: boolean;
}

/** As the adapter says; an empty text where it does not. */
export interface AdapterIdentity {
  /** Vendor, architecture and device. */
  readonly device: string;
  /** Name and version of the driver. */
  readonly driver: string;
}

export interface GpuContextOptions {
  readonly device: GPUDevice;
  readonly adapterName: string;
  /** Which adapter it is, for what is kept between processes; absent for devices that are only described. */
  readonly adapter?: AdapterIdentity;
  readonly features: GpuFeatures;
  /** Features that kernels could use and this device lacks, each with the reason. */
  readonly missing: readonly string[];
  /** Whether the adapter computes on the CPU. */
  readonly isSoftware: boolean;
  /** A limit for the bytes of one storage buffer below the device's own, for tests of small adapters. */
  readonly bindingLimit?: number;
  /** Whether others use the device too: an error that nobody caught may be theirs, and is left to them. */
  readonly isShared?: boolean;
  /** Whether others made the device and go on using it: it is shared, and not destroyed. */
  readonly isBorrowed?: boolean;
  /** Releases what the device depends on (Dawn's instance), which the context keeps alive. */
  readonly release?: () => void;
}

const FILTERS = ["validation", "out-of-memory", "internal"] as const;

export class GpuContext {
  readonly device: GPUDevice;
  readonly adapterName: string;
  readonly adapter: AdapterIdentity | null;
  readonly features: GpuFeatures;
  readonly missing: readonly string[];
  readonly isSoftware: boolean;
  readonly #release: () => void;
  readonly #isBorrowed: boolean;
  readonly #isShared: boolean;
  readonly #onError = (event: Event): void => {
    event.preventDefault();
    this.#fail(asTurboQuantError((event as GPUUncapturedErrorEvent).error));
  };
  #error: TurboQuantError | null = null;
  /** Resolves when the error scopes of all calls so far have been heard. */
  #heard: Promise<unknown> = Promise.resolve();
  #disposed = false;

  /** The most bytes that one storage buffer can have and be bound with. */
  readonly bindingBytes: number;

  constructor(options: GpuContextOptions) {
    const { device, adapterName, adapter = null, features, missing, isSoftware, bindingLimit, release } = options;
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    this.bindingBytes = Math.min(maxBufferSize, maxStorageBufferBindingSize, bindingLimit ?? Number.POSITIVE_INFINITY);
    this.device = device;
    this.adapterName = adapterName;
    this.adapter = adapter;
    this.features = features;
    this.missing = missing;
    this.isSoftware = isSoftware;
    this.#release = release ?? (() => {});
    this.#isBorrowed = options.isBorrowed ?? false;
    this.#isShared = options.isShared ?? this.#isBorrowed;
    if (!this.#isShared) device.addEventListener("uncapturederror", this.#onError);
    void device.lost.then(({ reason, message }) => {
      if (this.#disposed) return;
      this.#error = new TurboQuantError(
        "device_lost",
        `webgpu: the device was lost (${reason || "unknown"}: ${message || "no message"}); load the model again and restore a saved session`,
        { reason },
      );
    });
  }

  get limits(): GPUSupportedLimits {
    return this.device.limits;
  }

  get isLost(): boolean {
    return this.#error?.code === "device_lost";
  }

  /**
   * @throws TurboQuantError device_lost, out_of_memory or internal — the
   * first error of the device; it stays until the device is opened again
   */
  check(): void {
    if (this.#error) throw this.#error;
    if (this.#disposed)
      throw new TurboQuantError("invalid_argument", "webgpu: used after dispose(); load the model again");
  }

  /**
   * Makes calls to the device that may be in error: those that create something, write or submit. What the device says against them is an error of
   * this context, and on a shared device no other is. Scopes are a stack that all users of a device share, so nothing is awaited inside.
   */
  own<T>(calls: () => T): T {
    if (!this.#isShared) return calls();
    for (const filter of FILTERS) this.device.pushErrorScope(filter);
    try {
      return calls();
    } finally {
      for (const _ of FILTERS) this.#hear(this.device.popErrorScope());
    }
  }

  createBuffer(descriptor: GPUBufferDescriptor): GPUBuffer {
    return this.own(() => this.device.createBuffer(descriptor));
  }

  /** Awaits a promise; when it fails, throws the reason that the device gave. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    try {
      const result = await promise;
      await this.#heard;
      this.check();
      return result;
    } catch (error) {
      // The loss is often reported a moment after the wait has failed.
      await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, 100))]);
      this.check();
      throw error;
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (!this.#isBorrowed) this.device.destroy();
    // A device refers to its listeners from outside of the heap, and this one to the device: neither would ever be collected.
    this.device.removeEventListener("uncapturederror", this.#onError);
    this.#release();
  }

  #hear(scope: Promise<GPUError | null>): void {
    const heard = scope.then(
      (error) => error && this.#fail(asTurboQuantError(error)),
      // The scopes of a device that is lost may fail; the loss is told by itself.
      () => {},
    );
    this.#heard = Promise.all([this.#heard, heard]);
  }

  #fail(error: TurboQuantError): void {
    this.#error ??= error;
  }
}

function asTurboQuantError(error: GPUError): TurboQuantError {
  const kind = error.constructor.name;
  if (kind === "GPUOutOfMemoryError") {
    return new TurboQuantError(
      "out_of_memory",
      `webgpu: the device is out of memory (${error.message}); choose a shorter context, fewer KV bits or smaller weights`,
    );
  }
  return new TurboQuantError("internal", `webgpu: ${kind}: ${error.message}`);
}
