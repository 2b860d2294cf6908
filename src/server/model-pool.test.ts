/** @file Several models under one budget: loaded once for all who wait, unloaded when another needs their room, and never while a request uses them. */
import { expect, it } from "vitest";
import { TurboQuantError } from "../errors.ts";
import { ModelPool, type PoolOptions } from "./model-pool.ts";
import type { HeldModel, LoadedModel, Loading, ModelSource } from "./models.ts";

const KNOWN = {
  ...{ kv: "f16", weightBytes: 1, vocabSize: 1, contextLength: 1, trainedContext: 1, hiddenSize: 1, numLayers: 1 },
};
const NOBODY = new AbortController().signal;

/** A model of a few bytes whose loads end when the test says so. */
class Source implements ModelSource {
  readonly name: string;
  readonly known = KNOWN;
  readonly bytes: number;
  readonly log: string[];
  /** What further loads come to, where that is no model. */
  fails: unknown = null;
  /** Whether loads wait for `finish`. */
  waits = false;
  finish = (): void => {};
  loading: Loading | null = null;

  constructor(name: string, bytes: number, log: string[]) {
    this.name = name;
    this.bytes = bytes;
    this.log = log;
  }

  async load(loading: Loading): Promise<LoadedModel> {
    this.loading = loading;
    this.log.push(`load ${this.name}`);
    await loading.makeRoom({ bytes: this.bytes, availableBytes: Number.POSITIVE_INFINITY });
    loading.signal.throwIfAborted();
    if (this.waits) {
      await new Promise<void>((resolve, reject) => {
        this.finish = resolve;
        loading.signal.addEventListener("abort", () => reject(loading.signal.reason), { once: true });
      });
    }
    if (this.fails !== null) throw this.fails;
    this.log.push(`loaded ${this.name}`);
    const scheduler = { isDraining: false, stats: { running: 0, waiting: 0, preempted: 0 } };
    return {
      ...({ llm: { name: this.name }, scheduler } as unknown as Pick<LoadedModel, "llm" | "scheduler">),
      drain: async () => {},
      close: async () => void this.log.push(`close ${this.name}`),
      [Symbol.asyncDispose]: async () => void this.log.push(`free ${this.name}`),
    };
  }
}

function pool(bytes: Readonly<Record<string, number>>, options: PoolOptions = { budgetBytes: 10 }) {
  const log: string[] = [];
  const sources = Object.entries(bytes).map(([name, size]) => new Source(name, size, log));
  const models = new ModelPool(sources, options);
  const use = async (name: string): Promise<void> => (await models.hold(name, NOBODY)).release();
  const states = (): string => models.names.map((name) => models.listed(name).status!.value).join(" ");
  return { models, sources, log, use, states };
}

/** Lets what can happen by itself happen. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("a model is loaded when it is first asked for, and stays where there is room", async () => {
  const { use, states, log, models } = pool({ a: 4, b: 6 });
  expect(states()).toBe("unloaded unloaded");
  await use("a");
  expect(states()).toBe("loaded unloaded");
  await use("b");
  await use("a");
  expect(log).toEqual(["load a", "loaded a", "load b", "loaded b"]);
  expect(models.listed("b").status).toEqual({ value: "loaded", memoryBytes: 6 });
  await models[Symbol.asyncDispose]();
  expect(states()).toBe("unloaded unloaded");
});

it("what was used longest ago goes for one that lacks room, and no more than has to", async () => {
  const { use, states, log } = pool({ a: 3, b: 3, c: 3, d: 4 });
  for (const name of ["a", "b", "c", "a"]) await use(name);
  await use("d");
  expect(states()).toBe("loaded unloaded loaded loaded");
  expect(log.slice(-4)).toEqual(["load d", "close b", "free b", "loaded d"]);
});

it("requests that need one model at the same time load it once", async () => {
  const { models, sources, log } = pool({ a: 1 });
  sources[0]!.waits = true;
  const held = [models.hold("a", NOBODY), models.hold("a", NOBODY), models.hold("a", NOBODY)];
  await settle();
  expect(models.listed("a").status).toEqual({ value: "loading" });
  sources[0]!.loading!.onProgress({ phase: "load", item: "x", done: 1, total: 2, unit: "bytes" });
  expect(models.listed("a").status?.progress).toMatchObject({ done: 1, total: 2 });
  sources[0]!.finish();
  const [first, ...others] = await Promise.all(held);
  expect(others.map(({ model }) => model)).toEqual([first!.model, first!.model]);
  expect(log).toEqual(["load a", "loaded a"]);
});

it("one that is in use goes last, takes no more requests, and only goes when the ones at work are finished", async () => {
  const { models, states, log } = pool({ a: 6, b: 6 });
  const [one, two] = [await models.hold("a", NOBODY), await models.hold("a", NOBODY)];
  const b = models.hold("b", NOBODY);
  await settle();
  const later = models.hold("a", NOBODY);
  one.release();
  one.release();
  await settle();
  expect({ states: states(), log: log.slice(2) }).toEqual({ states: "loaded loading", log: ["load b"] });
  expect(models.holdLoaded("a"), "it takes no more requests").toBeNull();
  two.release();
  const own = await b;
  expect(log.slice(3, 6)).toEqual(["close a", "free a", "loaded b"]);
  await settle();
  expect(states(), "who came later waits until the other is not in use").toBe("loading loaded");
  own.release();
  (await later).release();
  expect(states()).toBe("loaded unloaded");
});

it("a load that fails is the error of those who wait for it, and of nobody else; the next one tries again", async () => {
  const failed: string[] = [];
  const { models, sources, use, states } = pool(
    { a: 5, b: 5 },
    { budgetBytes: 10, observer: { onLoadFailed: (name) => void failed.push(name) } },
  );
  await use("b");
  sources[0]!.fails = new TurboQuantError("invalid_file", "model.safetensors: it ends early; download it again");
  const errors = await Promise.allSettled([models.hold("a", NOBODY), models.hold("a", NOBODY)]);
  for (const { reason } of errors as PromiseRejectedResult[]) {
    expect(reason).toMatchObject({ status: 503, code: "model_load_failed", param: "model" });
    expect(reason.message).toBe("model a cannot be loaded: model.safetensors: it ends early; download it again");
  }
  expect(failed).toEqual(["a"]);
  expect(models.listed("a").status).toMatchObject({ value: "unloaded", error: expect.stringContaining("ends early") });
  expect(states()).toBe("unloaded loaded");
  sources[0]!.fails = null;
  await use("a");
  expect(models.listed("a").status).toEqual({ value: "loaded", memoryBytes: 5 });
});

it("a fault of ours is not told to clients", async () => {
  const { models, sources } = pool({ a: 5 });
  sources[0]!.fails = new Error("secret");
  const error: Error = await models.hold("a", NOBODY).catch((reason) => reason);
  expect(error.message).toBe("model a cannot be loaded: internal error; the server's log has the details");
});

it("memory that runs out before the plan says so is made by those who are there", async () => {
  const { use, sources, states, log, models } = pool({ a: 5, b: 5 }, {});
  await use("a");
  sources[1]!.fails = new TurboQuantError("out_of_memory", "the device is full");
  const b = models.hold("b", NOBODY);
  await expect(b).rejects.toMatchObject({ status: 503 });
  expect(log).toEqual(["load a", "loaded a", "load b", "close a", "free a", "load b"]);
  expect(states()).toBe("unloaded unloaded");
});

it("one that fits alone has all there is", async () => {
  const { use, states } = pool({ a: 4, b: Number.POSITIVE_INFINITY });
  await use("a");
  await use("b");
  expect(states()).toBe("unloaded loaded");
});

it("a load ends when the last who waits for it has left, and others go on", async () => {
  const { models, sources, states, use, log } = pool({ a: 4, b: 4 });
  sources[0]!.waits = true;
  const [first, second] = [new AbortController(), new AbortController()];
  const [one, two] = [models.hold("a", first.signal), models.hold("a", second.signal)];
  const b = use("b");
  await settle();
  first.abort(new Error("gone"));
  await expect(one).rejects.toThrow("gone");
  await settle();
  expect(states()).toBe("loading loading");
  second.abort(new Error("gone too"));
  await expect(two).rejects.toThrow("gone too");
  await b;
  expect({ states: states(), log }).toEqual({ states: "unloaded loaded", log: ["load a", "load b", "loaded b"] });
  sources[0]!.waits = false;
  await use("a");
  expect(states()).toBe("loaded loaded");
});

it("one that waits for its turn is never begun when who asked has left", async () => {
  const { models, sources, log } = pool({ a: 4, b: 4 });
  sources[0]!.waits = true;
  const a = models.hold("a", NOBODY);
  const left = new AbortController();
  const b = models.hold("b", left.signal);
  await settle();
  left.abort(new Error("gone"));
  await expect(b).rejects.toThrow("gone");
  sources[0]!.finish();
  await a;
  await settle();
  expect(log).toEqual(["load a", "loaded a"]);
});

it("one that was to go stays when nobody needs its room any more", async () => {
  const { models, states, log } = pool({ a: 6, b: 6 });
  const held = await models.hold("a", NOBODY);
  const left = new AbortController();
  const b = models.hold("b", left.signal);
  await settle();
  const later = models.hold("a", NOBODY);
  left.abort(new Error("gone"));
  await expect(b).rejects.toThrow("gone");
  (await later).release();
  held.release();
  await settle();
  expect({ states: states(), log }).toEqual({ states: "loaded unloaded", log: ["load a", "loaded a", "load b"] });
});

it("unloading by hand waits for the requests at work; a load is cancelled", async () => {
  const { models, sources, states, log } = pool({ a: 4, b: 4 });
  const held = await models.hold("a", NOBODY);
  const gone = models.unload("a", NOBODY);
  await settle();
  expect(states()).toBe("loaded unloaded");
  held.release();
  await gone;
  expect(log.slice(2)).toEqual(["close a", "free a"]);
  await models.unload("a", NOBODY);
  sources[1]!.waits = true;
  const b = models.hold("b", NOBODY);
  const refused = expect(b).rejects.toMatchObject({ status: 409, code: "model_unloaded" });
  await settle();
  await models.unload("b", NOBODY);
  await refused;
  expect(states()).toBe("unloaded unloaded");
});

it("garbage is collected when a model has gone, and after a load that came to nothing", async () => {
  const at: string[] = [];
  const { models, sources, use, log } = pool(
    { a: 6, b: 6 },
    { budgetBytes: 10, collectGarbage: () => void at.push(log.at(-1)!) },
  );
  await use("a");
  await use("b");
  sources[0]!.fails = new TurboQuantError("invalid_file", "broken");
  await expect(use("a")).rejects.toThrow("broken");
  expect(at).toEqual(["free a", "free b", "free b"]);
  expect(models.loaded).toEqual([]);
});

it("too many who wait are refused", async () => {
  const { models, sources } = pool({ a: 4 }, { maxWaiting: 1 });
  sources[0]!.waits = true;
  const first = models.hold("a", NOBODY);
  await expect(models.hold("a", NOBODY)).rejects.toMatchObject({ code: "unavailable", detail: { reason: "queue" } });
  await settle();
  sources[0]!.finish();
  await first;
});

it("a pool that drains takes no more requests, and refuses those that wait for a model", async () => {
  const { models, sources, use, log } = pool({ a: 4, b: 4 });
  await use("a");
  sources[1]!.waits = true;
  const waiting = models.hold("b", NOBODY).catch((error) => error.status);
  await settle();
  await models.drain();
  expect([await waiting, models.isDraining]).toEqual([503, true]);
  await expect(models.hold("a", NOBODY)).rejects.toMatchObject({ status: 503 });
  await models[Symbol.asyncDispose]();
  expect(log.slice(3)).toEqual(["close a", "free a"]);
});

it("in any order of requests, models, ends and errors: the budget holds, nothing in use goes, and all are answered", async () => {
  let state = 12345;
  const draw = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) % below;
  };
  const { models, sources, log } = pool({ a: 3, b: 4, c: 5, d: 9 });
  const used = (): number =>
    models.names.reduce((sum, name) => sum + (models.listed(name).status?.memoryBytes ?? 0), 0);
  const inUse = new Map<HeldModel, string>();
  const pending = new Set<Promise<void>>();
  let answered = 0;
  for (let round = 0; round < 400; round++) {
    const source = sources[draw(sources.length)]!;
    source.fails = draw(12) === 0 ? new TurboQuantError("invalid_file", "broken") : null;
    const left = new AbortController();
    const request = models.hold(source.name, left.signal).then(
      (held) => {
        inUse.set(held, source.name);
        answered++;
      },
      () => void answered++,
    );
    pending.add(request);
    if (draw(8) === 0) left.abort(new Error("gone"));
    if (draw(15) === 0) pending.add(models.unload(sources[draw(4)]!.name, NOBODY));
    if (draw(3) > 0) await settle();
    const [first] = [...inUse.keys()].slice(draw(2));
    if (first) {
      first.release();
      inUse.delete(first);
    }
    expect(used()).toBeLessThanOrEqual(10);
    for (const name of inUse.values()) expect(models.listed(name).model, name).not.toBeNull();
  }
  for (;;) {
    for (const held of inUse.keys()) held.release();
    inUse.clear();
    if (answered === 400) break;
    await settle();
  }
  await Promise.all(pending);
  const count = (what: string): number => log.filter((line) => line.startsWith(what)).length;
  expect(count("free ")).toBe(count("loaded ") - models.loaded.length);
});
