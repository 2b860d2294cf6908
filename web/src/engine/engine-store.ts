/** @file The store of the current engine: loads it, changes its cache format, and notices when it is lost. */
import { createStore } from "../ui/store.ts";
import type { Engine } from "./engine.ts";
import { type EngineChoice, rememberChoice } from "./engine-choice.ts";
import type { CacheState, CalibrationProgress, LoadPlan, LoadProgress, ModelInfo, PlainError } from "./protocol.ts";
import { EngineError, plainError } from "./rpc.ts";
import { listServerModels, ServerEngine } from "./server-engine.ts";
import { TabEngine } from "./tab-engine.ts";

export interface EngineState {
  /** `loading`: an engine that is there already goes on meanwhile · `lost`: the GPU device was lost, and the engine is being loaded again. */
  readonly status: "none" | "loading" | "ready" | "failed" | "lost";
  /** Of `engine`; where there is none, the one that was tried last. */
  readonly choice: EngineChoice | null;
  readonly engine: Engine | null;
  readonly info: ModelInfo | null;
  readonly progress: LoadProgress | null;
  /** When the phase of `progress` began, in ms of `performance.now`, and what was done then. */
  readonly progressSince: { readonly at: number; readonly done: number } | null;
  /** Of the model that is being loaded, once its files were looked at. */
  readonly plan: LoadPlan | null;
  readonly error: PlainError | null;
  /** Cache of the current conversation. */
  readonly cache: CacheState | null;
  /** Of the model's calibration, while it is made in idle time; then what came of it. */
  readonly calibration: CalibrationProgress | string | null;
}

export const engineStore = createStore<EngineState>({
  status: "none",
  choice: null,
  engine: null,
  info: null,
  progress: null,
  progressSince: null,
  plan: null,
  error: null,
  cache: null,
  calibration: null,
});

export { plainError };

let loading: AbortController | null = null;

const patch = (change: Partial<EngineState>): void => engineStore.update((state) => ({ ...state, ...change }));

async function open(choice: EngineChoice, signal: AbortSignal): Promise<Engine> {
  if (choice.where === "server") {
    const models = await listServerModels(choice.address);
    const model = models.find(({ id }) => id === choice.model);
    if (model) return new ServerEngine(choice.address, model);
    const names = models.map(({ id }) => id).join(", ") || "none";
    throw new EngineError({ code: "not_found", message: `the server has no ${choice.model}; it has ${names}` });
  }
  const { model, kv, backend, weights, contextLength } = choice;
  return TabEngine.load(
    { model, kv, backend, weights, contextLength, baseUrl: document.baseURI },
    { signal, onEvent: (event) => (event.phase === "plan" ? patch({ plan: event }) : showProgress(event)) },
  );
}

function showProgress(progress: LoadProgress): void {
  const { progress: before, progressSince } = engineStore.get();
  const isNext = before?.phase !== progress.phase;
  patch({
    progress,
    ...((isNext || !progressSince) && { progressSince: { at: performance.now(), done: progress.done } }),
  });
}

/**
 * Loads a model, and cancels a load in progress. The model that works goes on until the new one can answer, and stays when that fails. Never rejects: errors go into the store.
 */
export const loadEngine = (choice: EngineChoice): Promise<void> => load({ choice, status: "loading", error: null });

interface Attempt {
  readonly choice: EngineChoice;
  readonly status: "loading" | "lost";
  /** Why it is made; null where the user wants it. */
  readonly error: PlainError | null;
  /** What is loaded where this fails and no model is left; without it, the model that was there before. */
  readonly otherwise?: EngineChoice | undefined;
}

async function load({ choice, status, error, otherwise }: Attempt): Promise<void> {
  loading?.abort();
  const own = new AbortController();
  loading = own;
  if (status === "lost") drop();
  const { engine: before, choice: choiceBefore } = engineStore.get();
  patch({ status, ...NOTHING_LOADS, ...(!before && { choice }), error });
  try {
    const engine = await open(choice, own.signal).catch((error: unknown) => {
      if (!isForLackOfRoom(error) || own.signal.aborted || !(engineStore.get().engine instanceof TabEngine))
        throw error;
      // Both models together did not fit, so the new one is tried alone.
      drop();
      return open(choice, own.signal);
    });
    if (own.signal.aborted) {
      engine.dispose();
      return;
    }
    drop();
    rememberChoice(choice);
    patch({ status: "ready", choice, engine, info: engine.info, ...NOTHING_LOADS });
    if (engine instanceof TabEngine) void calibrate(engine);
  } catch (error) {
    if (own.signal.aborted) return;
    const plain = plainError(error);
    const next = engineStore.get().engine ? null : (otherwise ?? (before && choiceBefore));
    // The load has failed when nothing follows: what waits for a model goes on waiting until then.
    if (next) await load({ choice: next, status, error: plain });
    else settle("failed", plain);
  }
}

/** The first load of a page: what is loaded has to be found out before. It gives way to what the user chooses meanwhile. */
export async function loadFirst(find: () => Promise<EngineChoice | null>): Promise<void> {
  const own = new AbortController();
  loading = own;
  patch({ status: "loading" });
  const choice = await find().catch(() => null);
  if (own.signal.aborted) return;
  if (choice) await loadEngine(choice);
  else settle("none", null);
}

const NOTHING_LOADS = { progress: null, progressSince: null, plan: null } as const;

/** Ends the engine that is there. */
function drop(): void {
  engineStore.get().engine?.dispose();
  patch({ engine: null, info: null, cache: null, calibration: null });
}

/** A load has ended without a model: the one that works, if any, stays. */
function settle(status: "none" | "failed", error: PlainError | null): void {
  patch({ status: engineStore.get().engine ? "ready" : status, ...NOTHING_LOADS, ...(error && { error }) });
}

/** Whether memory ran out while weights were read; a model that is refused by its plan would be refused again. */
const isForLackOfRoom = (error: unknown): boolean =>
  plainError(error).code === "out_of_memory" && engineStore.get().progress?.phase === "load";

/** Calibrates a model that has no calibration while nobody asks it; one that stays without is used as it is. */
async function calibrate(engine: TabEngine): Promise<void> {
  const show = (change: Partial<EngineState>): void => {
    if (engineStore.get().engine === engine) patch(change);
  };
  try {
    const outcome = await engine.calibrate((calibration) => show({ calibration }));
    // Caches of conversations are in other codes now, and are computed again when they are asked.
    if (outcome) show({ calibration: outcome.note, ...(outcome.info && { info: outcome.info, cache: null }) });
  } catch (error) {
    show({ calibration: error instanceof EngineError && error.code === "aborted" ? null : plainError(error).message });
  }
}

export function cancelLoading(): void {
  loading?.abort();
  settle("none", null);
}

/**
 * Changes the cache format with the same weights, which only an engine in the tab can do.
 * @throws EngineError — not a format
 */
export async function changeKv(kv: string): Promise<void> {
  const { engine, choice } = engineStore.get();
  if (!(engine instanceof TabEngine) || choice?.where !== "tab") return;
  const info = await engine.setKv(kv);
  const next = { ...choice, kv };
  rememberChoice(next);
  patch({ info, choice: next, cache: null });
}

/** Says why files that were dropped or picked cannot be loaded; what is loaded stays. */
export const reportProblem = (message: string): void => patch({ error: { code: "invalid_file", message } });

export const setCache = (cache: CacheState | null): void => patch({ cache });
export const dismissError = (): void => patch({ error: null });

/**
 * Loads the engine again after its GPU device was lost, which ends its worker; on the CPU if the GPU does not come back. The
 * page still has the conversation, and its cache is computed again.
 */
export async function recoverEngine(error: PlainError): Promise<void> {
  const { choice } = engineStore.get();
  if (!choice) return;
  const otherwise = choice.where === "tab" ? ({ ...choice, backend: "wasm" } as const) : undefined;
  await load({ choice, status: "lost", error, otherwise });
}

export const tabEngine = (): TabEngine | null => {
  const { engine } = engineStore.get();
  return engine instanceof TabEngine ? engine : null;
};
