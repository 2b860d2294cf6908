/** @file Opens the backends of the registry. It is a separate file, so that a bundle which only plans contains no backend. */
import type { Backend, BackendOpenOptions, OpenBackend } from "./backend.ts";
import type { Ops } from "./ops.ts";
import { open as reference } from "./reference/open.ts";
import { type BuiltInBackend, backendOf, registerFace } from "./registry.ts";
import { open as wasm } from "./wasm/open.ts";
import { open as webgpu } from "./webgpu/open.ts";

const builtIn: Readonly<Record<BuiltInBackend, OpenBackend>> = { wasm, webgpu, reference };

const openers = new Map<string, OpenBackend>(Object.entries(builtIn));

/** @throws TurboQuantError invalid_argument — a backend of this name is already registered */
export function registerBackend(backend: Backend & { readonly open: OpenBackend }): void {
  registerFace(backend);
  openers.set(backend.name, backend.open);
}

/**
 * Imports the backend and starts it.
 * @throws TurboQuantError unsupported — no backend of this name, or not on this machine; invalid_argument — options
 */
export function openBackend(name: string, options: BackendOpenOptions): Promise<Ops> {
  return openers.get(backendOf(name).name)!(options);
}
