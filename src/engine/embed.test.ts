/** @file Embeddings: against the numbers of Transformers, on the backend that defines and on the one that is fast; alone, in company, and cut. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { randomPrompt } from "../../test/support/scheduled.ts";
import { seededCheckpoint, seededModel, seededSource } from "../../test/support/seeded-checkpoint.ts";
import { createReferenceBackend } from "../backends/reference/backend.ts";
import { createWasmBackend } from "../backends/wasm/backend.ts";
import { type EmbedOptions, embed, embedAll } from "./embed.ts";
import { collect } from "./generation.ts";
import { LLM } from "./llm.ts";
import { RowPool } from "./scheduler/row-pool.ts";
import { Scheduler } from "./scheduler/scheduler.ts";

const MODEL = "qwen3";
const seeded = seededModel(MODEL);
let reference: LLM;
let wasm: LLM;
/** Its rows give the logits of a vector: head and embedding are one matrix. */
let head: Float32Array;
const WIDTH = 64;

beforeAll(async () => {
  const load = async (backend: Parameters<typeof LLM.load>[1]) =>
    LLM.load(seededSource(MODEL), { kv: "f32", ...backend });
  reference = await load({ backend: createReferenceBackend() });
  wasm = await load({ backend: await createWasmBackend({ threads: 1 }) });
  head = new Float32Array((await seededCheckpoint(seeded).read("model.embed_tokens.weight")).buffer);
});
afterAll(async () => {
  await reference.dispose();
  await wasm.dispose();
});

const logitOf = (vector: Float32Array, token: number): number =>
  vector.reduce((sum, value, i) => sum + value * head[token * WIDTH + i]!, 0);
const unit = (values: readonly number[]): number[] => values.map((value) => value / Math.hypot(...values));
const one = async (llm: LLM, ids: readonly number[], options?: EmbedOptions) => (await embed(llm, [ids], options))[0]!;
const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.hypot(...Array.from(a, (value, i) => value - b[i]!));

describe.each(["reference", "wasm"])("%s", (name) => {
  const llm = () => (name === "wasm" ? wasm : reference);
  const { ids, probe, probe_logits: probes, logit_l2: lengths } = seeded;

  it("the last row has the direction of Transformers' last hidden state: its logits over their length are those", async () => {
    const vector = await one(llm(), ids);
    expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
    const all = Array.from({ length: head.length / WIDTH }, (_, token) => logitOf(vector, token));
    const ours = probe.map((token) => unit(all)[token]!);
    const theirs = probes.at(-1)!.map((logit) => logit / lengths.at(-1)!);
    expect(difference(ours, theirs)).toBeLessThan(1e-4);
    expect(await one(llm(), ids, { pooling: "last" })).toEqual(vector);
  });

  it("the mean of all rows has the direction of the mean of Transformers' logits", async () => {
    const vector = await one(llm(), ids, { pooling: "mean" });
    expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
    const theirs = probe.map((_, n) => probes.reduce((sum, row) => sum + row[n]!, 0));
    expect(difference(unit(probe.map((token) => logitOf(vector, token))), unit(theirs))).toBeLessThan(1e-3);
  });
});

it("both backends give the same vectors", async () => {
  for (const pooling of ["last", "mean"] as const) {
    const ours = await one(wasm, seeded.ids, { pooling });
    expect(difference(ours, await one(reference, seeded.ids, { pooling }))).toBeLessThan(1e-4);
  }
});

describe("many", () => {
  const prompts = [7, 64, 66, 1, 129, 200, 3].map((length, i) => randomPrompt(length, i + 1).map((id) => id % 320));

  it("at once and beside an answer give, bit by bit, what each gives alone; the answer too", async () => {
    const options = { temperature: 0, ignoreEos: true, maxNewTokens: 8 };
    const answer = await collect(wasm.generate(prompts[5]!, options));
    const alone: Record<string, Float32Array[]> = { last: [], mean: [] };
    for (const pooling of ["last", "mean"] as const)
      for (const ids of prompts) alone[pooling]!.push(await one(wasm, ids, { pooling }));
    const scheduler = new Scheduler(wasm, { chunkTokens: 64, maxRunning: 4, maxWaiting: 6 });
    // Beyond the place of the first of each, a full queue refuses none of the rest.
    const [text, last, mean] = await Promise.all([
      collect(scheduler.generate(prompts[5]!, options)),
      embedAll(scheduler, prompts, { pooling: "last" }),
      embedAll(scheduler, prompts, { pooling: "mean" }),
    ]);
    expect(text.tokens).toEqual(answer.tokens);
    expect(last).toEqual(alone["last"]);
    expect(mean).toEqual(alone["mean"]);
    expect(scheduler.stats).toMatchObject({ running: 0, waiting: 0 });
    await scheduler.close();
    expect(wasm.cache.numBytes).toBe(0);
  });

  it("a request that finds the queue full is refused before anything is read or queued, and an abort ends all", async () => {
    const scheduler = new Scheduler(wasm, { maxWaiting: 1 });
    const first = embedAll(scheduler, [prompts[0]!], {});
    const refused = embedAll(scheduler, prompts, {});
    expect(scheduler.stats.waiting).toBe(1);
    await expect(refused).rejects.toMatchObject({ code: "unavailable" });
    await first;
    expect(scheduler.stats.prefixEntries).toBe(0);
    const reason = new Error("enough");
    const stop = new AbortController();
    const embedding = embedAll(scheduler, prompts, { signal: stop.signal });
    stop.abort(reason);
    await expect(embedding).rejects.toBe(reason);
    const closing = embedAll(scheduler, prompts, {});
    await Promise.all([scheduler.close(), expect(closing).rejects.toThrow("shutting down")]);
    expect(wasm.cache.numBytes).toBe(0);
  });

  it.each(["drain", "close"] as const)("%s after one of several texts waits for the last", async (end) => {
    let finished = 0;
    let ended: Promise<number> | undefined;
    const onFinish = (): void => {
      finished++;
      ended ??= Promise.resolve()
        .then(() => scheduler[end]())
        .then(() => finished);
    };
    const scheduler = new Scheduler(wasm, { maxRunning: 1, observer: { onFinish } });
    const embedding = embedAll(scheduler, [[1], [2], [3]], {});
    if (end === "drain") expect(await embedding).toHaveLength(3);
    else await expect(embedding).rejects.toThrow("shutting down");
    expect(finished).toBe(await ended);
    await expect(embedAll(scheduler, [[1]], {})).rejects.toThrow("shutting down");
    await scheduler.close();
  });
});

it("fewer dimensions are the first ones, of unit length again; texts are tokenized", async () => {
  const [whole, cut] = [await embed(wasm, ["a text"]), await embed(wasm, ["a text"], { dimensions: 5 })];
  expect(Array.from(cut[0]!)).toEqual(unit([...whole[0]!.subarray(0, 5)]).map(Math.fround));
  expect(whole[0]).toEqual(await one(wasm, wasm.tokenizer.encode("a text")));
});

it.each([
  [{ dimensions: 65 }, "dimensions: expected 1 to 64, the model's width, got 65"],
  [{ dimensions: 0 }, "dimensions: expected 1 to 64"],
  [{ pooling: "first" }, "pooling: expected last or mean, got first"],
  [{ poolin: "last" }, "did you mean pooling?"],
])("%o is refused", async (options, message) => {
  await expect(embed(wasm, [[1]], options as EmbedOptions)).rejects.toThrow(message);
});

it("rows of a prompt that is read again after a preemption count once", () => {
  const rows = Float32Array.from([1, 10, 2, 20, 4, 40]);
  const [whole, again] = [new RowPool("mean", 2), new RowPool("mean", 2)];
  whole.add(rows, 0);
  again.add(rows.subarray(0, 4), 0);
  again.add(rows.subarray(0, 2), 0);
  again.add(rows.subarray(2), 1);
  expect(again.vector()).toEqual(whole.vector());
});
