/**
 * @file Several models, of which as many are in memory as there is room for.
 *
 * A model is loaded when a request needs it, one at a time in the order in which they were asked for. One that lacks room has others unloaded: first
 * those that no request uses, the one that was used longest ago before others; then those that are in use, which take no more requests until the ones
 * at work are finished. Whoever asks for such a model waits for its next turn, so that two models that do not fit together both get theirs.
 */
import type { Footprint } from "../engine/footprint.ts";
import { TurboQuantError } from "../errors.ts";
import type { ProgressEvent } from "../platform.ts";
import { ApiError, shuttingDown } from "./api-error.ts";
import type { HeldModel, ListedModel, LoadedModel, ModelSource, Models } from "./models.ts";

export interface PoolOptions {
  /** For all models together; default: what the backend of each has. */
  readonly budgetBytes?: number;
  /** The most requests that may wait for a model. */
  readonly maxWaiting?: number;
  /** Called when a model was freed, or one that was not loaded to its end, and nothing here refers to it any more. */
  readonly collectGarbage?: () => void;
  readonly observer?: PoolObserver;
}

export interface PoolObserver {
  onLoaded?(name: string, model: LoadedModel, ms: number): void;
  onUnloaded?(name: string): void;
  /** Not called for loads that nobody waits for any more. */
  onLoadFailed?(name: string, error: unknown): void;
  /** A model could not be freed. */
  onFault?(name: string, error: unknown): void;
}

interface Waiter {
  grant(held: HeldModel): void;
  refuse(error: unknown): void;
}

interface Load {
  /** Aborted when nobody waits for it any more. */
  readonly stop: AbortController;
  readonly waiters: Set<Waiter>;
  progress: ProgressEvent | null;
  /** From when its turn has come: resolves when it has ended, in whatever way. */
  running: Promise<void> | null;
}

/** A model that takes no more requests and goes when those at work are finished. */
interface Leaving {
  /** How many want it to go; when there are none before it has begun to, it stays. */
  wishes: number;
  hasBegun: boolean;
  readonly gone: Promise<void>;
  readonly onGone: () => void;
}

interface Entry {
  readonly source: ModelSource;
  model: LoadedModel | null;
  /** What is counted for it. */
  bytes: number;
  /** Requests that use it. */
  holds: number;
  /** Grows with each beginning and end of a use. */
  lastUse: number;
  load: Load | null;
  leaving: Leaving | null;
  error: string | null;
}

const MAX_WAITING = 1024;

export class ModelPool implements Models, AsyncDisposable {
  readonly names: readonly string[];
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #options: PoolOptions;
  readonly #queue: { readonly entry: Entry; readonly load: Load }[] = [];
  #working: Promise<void> | null = null;
  #uses = 0;
  #isDraining = false;

  /** sources: with names that differ, at least one */
  constructor(sources: readonly ModelSource[], options: PoolOptions = {}) {
    this.names = sources.map(({ name }) => name);
    this.#options = options;
    const fresh = { model: null, bytes: 0, holds: 0, lastUse: 0, load: null, leaving: null, error: null };
    this.#entries = new Map(sources.map((source) => [source.name, { ...fresh, source }]));
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Whether no request is at work and none waits for a model. */
  get isIdle(): boolean {
    return [...this.#entries.values()].every(({ model, holds, load }) => {
      const { running = 0, waiting = 0, preempted = 0 } = model?.scheduler.stats ?? {};
      return holds + running + waiting + preempted === 0 && load === null;
    });
  }

  /** Those in memory. */
  get loaded(): readonly LoadedModel[] {
    return [...this.#entries.values()].flatMap(({ model }) => model ?? []);
  }

  listed(name: string): ListedModel {
    const { source, model, load, error, bytes } = this.#at(name);
    const status = model
      ? ({ value: "loaded", memoryBytes: bytes } as const)
      : load
        ? ({ value: "loading", ...(load.progress && { progress: load.progress }) } as const)
        : ({ value: "unloaded", ...(error !== null && { error }) } as const);
    return { name, model, known: source.known, status };
  }

  async hold(name: string, signal: AbortSignal): Promise<HeldModel> {
    signal.throwIfAborted();
    if (this.#isDraining) throw shuttingDown();
    return this.holdLoaded(name) ?? (await this.#wait(this.#at(name), signal));
  }

  holdLoaded(name: string): HeldModel | null {
    const entry = this.#at(name);
    return entry.model && !entry.leaving ? this.#grant(entry, entry.model) : null;
  }

  async unload(name: string, signal: AbortSignal): Promise<void> {
    const entry = this.#at(name);
    const { load } = entry;
    if (load) {
      this.#cancelLoad(entry, unloaded(name));
      if (load.running) await aborted(load.running, signal);
    }
    if (entry.model) await this.#leave(entry, signal);
  }

  /** Takes no more requests; resolves when those at work are answered. Requests that wait for a model are refused. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    for (const entry of this.#entries.values()) this.#cancelLoad(entry, shuttingDown());
    await this.#working;
    await Promise.all(this.loaded.map((model) => model.drain()));
  }

  /** Aborts all requests. */
  async close(): Promise<void> {
    const drained = this.drain();
    await Promise.all(this.loaded.map((model) => model.close()));
    await drained;
  }

  /** Frees all models. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    for (const entry of this.#entries.values()) {
      const { leaving } = entry;
      if (leaving?.hasBegun) await leaving.gone;
      const { model } = entry;
      entry.model = null;
      await model?.[Symbol.asyncDispose]();
    }
  }

  #at(name: string): Entry {
    return this.#entries.get(name)!;
  }

  #grant(entry: Entry, model: LoadedModel): HeldModel {
    entry.holds++;
    entry.lastUse = ++this.#uses;
    let isHeld = true;
    return {
      model,
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        entry.holds--;
        entry.lastUse = ++this.#uses;
        this.#goIfFree(entry);
      },
    };
  }

  #wait(entry: Entry, signal: AbortSignal): Promise<HeldModel> {
    const { maxWaiting = MAX_WAITING } = this.#options;
    if (entry.load && entry.load.waiters.size >= maxWaiting) {
      throw new TurboQuantError(
        "unavailable",
        `busy: ${maxWaiting} requests wait for ${entry.source.name}; try again later`,
        { reason: "queue" },
      );
    }
    const load = (entry.load ??= this.#enqueue(entry));
    return new Promise((resolve, reject) => {
      const end = (): void => {
        load.waiters.delete(waiter);
        signal.removeEventListener("abort", leave);
      };
      const leave = (): void => {
        end();
        reject(signal.reason);
        if (load.waiters.size === 0) this.#cancelLoad(entry, signal.reason, load);
      };
      const waiter: Waiter = {
        grant(held) {
          end();
          resolve(held);
        },
        refuse(error) {
          end();
          reject(error);
        },
      };
      load.waiters.add(waiter);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  #enqueue(entry: Entry): Load {
    const load: Load = { stop: new AbortController(), waiters: new Set(), progress: null, running: null };
    this.#queue.push({ entry, load });
    this.#working ??= this.#work();
    return load;
  }

  /** Ends a load that waits or is under way. Who asks for the model later begins another one. */
  #cancelLoad(entry: Entry, error: unknown, load = entry.load): void {
    if (!load) return;
    if (entry.load === load) entry.load = null;
    for (const waiter of [...load.waiters]) waiter.refuse(error);
    load.stop.abort(error);
  }

  async #work(): Promise<void> {
    // Who asked first is waiting by then.
    await null;
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      const { entry, load } = next;
      if (load.stop.signal.aborted || load.waiters.size === 0) continue;
      load.running = this.#run(entry, load);
      await load.running;
    }
    this.#working = null;
  }

  async #run(entry: Entry, load: Load): Promise<void> {
    const { signal } = load.stop;
    try {
      if (entry.leaving) await aborted(entry.leaving.gone, signal);
      entry.model ??= await this.#load(entry, load);
      if (entry.load === load) entry.load = null;
      for (const waiter of [...load.waiters]) waiter.grant(this.#grant(entry, entry.model));
    } catch (error) {
      // Who cancelled it has told those who waited.
      if (signal.aborted) return;
      entry.load = null;
      entry.error = messageOf(error);
      this.#options.observer?.onLoadFailed?.(entry.source.name, error);
      for (const waiter of [...load.waiters]) waiter.refuse(loadFailed(entry.source.name, error));
    }
  }

  async #load(entry: Entry, load: Load): Promise<LoadedModel> {
    const { signal } = load.stop;
    const started = performance.now();
    for (;;) {
      let hasRoom = false;
      try {
        const model = await entry.source.load({
          signal,
          onProgress: (event) => {
            load.progress = event;
          },
          makeRoom: async (footprint) => {
            await this.#makeRoom(entry, footprint, signal);
            hasRoom = true;
          },
        });
        if (signal.aborted) {
          await model[Symbol.asyncDispose]();
          signal.throwIfAborted();
        }
        entry.error = null;
        this.#options.observer?.onLoaded?.(entry.source.name, model, performance.now() - started);
        return model;
      } catch (error) {
        entry.bytes = 0;
        if (hasRoom) this.#options.collectGarbage?.();
        // What a GPU holds nobody knows before it is full.
        const other = hasRoom && isOutOfMemory(error) && !signal.aborted ? this.#nextToLeave() : null;
        if (!other) throw error;
        await this.#leave(other, signal);
      }
    }
  }

  async #makeRoom(entry: Entry, { bytes, availableBytes }: Footprint, signal: AbortSignal): Promise<void> {
    const { budgetBytes = Number.POSITIVE_INFINITY } = this.#options;
    const limit = Math.min(budgetBytes, availableBytes);
    // One that fits alone has all there is.
    const needed = Math.min(bytes, limit);
    const used = (): number => [...this.#entries.values()].reduce((sum, other) => sum + other.bytes, 0);
    entry.bytes = 0;
    while (used() + needed > limit) {
      const other = this.#nextToLeave();
      if (!other) break;
      await this.#leave(other, signal);
    }
    entry.bytes = needed;
  }

  /** Of those in memory. */
  #nextToLeave(): Entry | null {
    const rank = ({ leaving, holds }: Entry): number => (leaving?.hasBegun ? 0 : holds === 0 ? 1 : 2);
    const [first] = [...this.#entries.values()]
      .filter(({ model }) => model !== null)
      .sort((a, b) => rank(a) - rank(b) || a.lastUse - b.lastUse);
    return first ?? null;
  }

  /** Resolves when the model has gone; when `signal` aborts before it has begun to, it stays. */
  async #leave(entry: Entry, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const leaving = (entry.leaving ??= newLeaving());
    leaving.wishes++;
    try {
      this.#goIfFree(entry);
      await aborted(leaving.gone, signal);
    } finally {
      leaving.wishes--;
      if (leaving.wishes === 0 && !leaving.hasBegun && entry.leaving === leaving) this.#stay(entry);
    }
  }

  #stay(entry: Entry): void {
    const { load, model, leaving } = entry;
    entry.leaving = null;
    leaving?.onGone();
    if (!load || !model) return;
    entry.load = null;
    for (const waiter of [...load.waiters]) waiter.grant(this.#grant(entry, model));
  }

  #goIfFree(entry: Entry): void {
    const { leaving, model } = entry;
    if (!leaving || leaving.hasBegun || entry.holds > 0 || !model) return;
    leaving.hasBegun = true;
    void this.#free(entry.source.name, model).then(() => {
      entry.model = null;
      this.#options.collectGarbage?.();
      entry.bytes = 0;
      entry.leaving = null;
      leaving.onGone();
    });
  }

  async #free(name: string, model: LoadedModel): Promise<void> {
    const { observer } = this.#options;
    try {
      await model.close();
      await model[Symbol.asyncDispose]();
      observer?.onUnloaded?.(name);
    } catch (error) {
      observer?.onFault?.(name, error);
    }
  }
}

function newLeaving(): Leaving {
  let onGone = (): void => {};
  const gone = new Promise<void>((resolve) => {
    onGone = resolve;
  });
  return { wishes: 0, hasBegun: false, gone, onGone };
}

/** What `promise` comes to, or the reason of `signal`, whichever is first. */
function aborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

const isOutOfMemory = (error: unknown): boolean => error instanceof TurboQuantError && error.code === "out_of_memory";

const messageOf = (error: unknown): string =>
  error instanceof TurboQuantError ? error.message : "internal error; the server's log has the details";

/** Another server may be able to; this one says what is in the way. */
const loadFailed = (name: string, error: unknown): ApiError =>
  error instanceof ApiError
    ? error
    : new ApiError(503, `model ${name} cannot be loaded: ${messageOf(error)}`, {
        code: "model_load_failed",
        param: "model",
      });

/** What somebody else asked for is in the way, which clients try again. */
const unloaded = (name: string): ApiError =>
  new ApiError(409, `model ${name}: unloaded before it was there; ask again`, {
    code: "model_unloaded",
    param: "model",
  });
