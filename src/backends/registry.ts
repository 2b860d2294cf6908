/**
 * @file The registry of backends, as plans and checks know them. A new backend is a folder, a line here, and one in
 * open-backend.ts. Loading, `auto`, plans, the choices of `--backend` and messages follow from that. Nothing else imports from
 * a backend's folder (tools/check-layers.ts).
 */
import { TurboQuantError } from "../errors.ts";
import type { Backend } from "./backend.ts";
import type { BackendPlanner } from "./planner.ts";
import { reference } from "./reference/entry.ts";
import { wasm } from "./wasm/entry.ts";
import { webgpu } from "./webgpu/entry.ts";

/** Backends by name. */
const builtIn = { wasm, webgpu, reference };

export type BuiltInBackend = keyof typeof builtIn;

/** Name of a built-in or a registered backend. */
export type BackendName = BuiltInBackend | (string & Record<never, never>);

const backends = new Map<string, Backend>();

/**
 * Registers only the description; `registerBackend` in open-backend.ts registers both parts.
 * @throws TurboQuantError invalid_argument — the name is taken
 */
export function registerFace(backend: Backend): void {
  if (backends.has(backend.name) || backend.name === "auto") {
    throw new TurboQuantError(
      "invalid_argument",
      `backend: ${backend.name} is registered already; choose another name`,
    );
  }
  backends.set(backend.name, backend);
}

for (const backend of Object.values(builtIn)) registerFace(backend);

/** null when no backend has this name, as for operations that the caller brings along. */
export const findBackend = (name: string): Backend | null => backends.get(name) ?? null;

/** @throws TurboQuantError unsupported — no backend of this name */
export function backendOf(name: string): Backend {
  const backend = backends.get(name);
  if (backend) return backend;
  throw new TurboQuantError(
    "unsupported",
    `backend ${name.slice(0, 40)} is not in this build; choose auto, ${oneOf(backendNames())}`,
    { name },
  );
}

export const backendNames = (): string[] => [...backends.keys()];

/** The backends that `auto` tries, in this order. */
export function automaticBackends(): Backend[] {
  const all = [...backends.values()].filter(({ isAutomatic }) => isAutomatic);
  return [...all.filter(({ runsOn }) => runsOn === "gpu"), ...all.filter(({ runsOn }) => runsOn === "cpu")];
}

/** A backend whose memory can be planned. */
export type PlannedBackend = Backend & { readonly planner: BackendPlanner };

const isPlanned = (backend: Backend): backend is PlannedBackend => backend.planner !== undefined;

export const plannedBackends = (): PlannedBackend[] => [...backends.values()].filter(isPlanned);

/** @throws TurboQuantError unsupported — no backend of this name, or one whose memory cannot be planned */
export function plannedBackend(name: string): PlannedBackend {
  const backend = backendOf(name);
  if (isPlanned(backend)) return backend;
  const others = plannedBackends().map((other) => other.name);
  throw new TurboQuantError(
    "unsupported",
    `plan: the memory of the ${name} backend is not planned; choose auto, ${oneOf(others)}`,
    { name },
  );
}

/** For example `a, b or c`. */
const oneOf = (names: readonly string[]): string =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
