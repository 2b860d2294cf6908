/** @file How the backends of the registry are opened. Apart from it, so that who only plans has none of them in a bundle. */
import type { Backend, BackendOpenOptions, OpenBackend } from "./backend.ts";
import type { Ops } from "./ops.ts";
import { open as reference } from "./reference/open.ts";
import { type BuiltInBackend, backendOf, registerFace } from "./registry.ts";
import { open as wasm } from "./wasm/open.ts";
import { open as webgpu } from "./webgpu/open.ts";

const builtIn: Readonly<Record<BuiltInBackend, OpenBackend>> = { wasm, webgpu, reference };

const openers = new Map<string, OpenBackend>(Object.entries(builtIn));

/** @throws TurboQuantError invalid_argument — a backend of this name is there already */
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
