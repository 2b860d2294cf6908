/** @file Loads the compiled kernel module, strict or relaxed. */
import { TurboQuantError } from "../../errors.ts";
import { relaxed, strict } from "./generated/kernels.ts";

export type KernelVariant = "strict" | "relaxed";

/** Every exported kernel takes a task number, the address of the parameter block, and the address of the thread's scratch memory. */
export type Kernel = (task: number, params: number, scratch: number) => void;
export type Kernels = Readonly<Record<string, Kernel>>;

function decode(variant: KernelVariant, shared: boolean): Uint8Array<ArrayBuffer> {
  const { base64, memoryFlagOffset } = variant === "relaxed" ? relaxed : strict;
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  // Limits flag of the imported memory: 1 means that it has a maximum, 3 that it is also shared.
  if (shared) bytes[memoryFlagOffset] = 3;
  return bytes;
}

let hasRelaxed: boolean | undefined;

/** Whether the engine accepts relaxed SIMD at all. */
export function supportsRelaxed(): boolean {
  hasRelaxed ??= WebAssembly.validate(decode("relaxed", false));
  return hasRelaxed;
}

/** Backends of a process share a module, so that the engine optimizes its kernels once. */
const modules = new Map<string, Promise<WebAssembly.Module>>();

/** @throws TurboQuantError unsupported — no SIMD in this engine */
export async function compileKernels(variant: KernelVariant, shared: boolean): Promise<WebAssembly.Module> {
  const key = `${variant} ${shared}`;
  try {
    const module = modules.get(key) ?? WebAssembly.compile(decode(variant, shared));
    modules.set(key, module);
    return await module;
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      "wasm backend: this engine does not compile WebAssembly SIMD; use Node ≥ 20.19 or a browser of 2023 or later, or backend reference",
      {},
      { cause },
    );
  }
}

export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels;
}
