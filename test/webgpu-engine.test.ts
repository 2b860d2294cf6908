/** @file The whole engine on WebGPU: sequences that change backends, work a token costs, what is left behind, a lost device. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { createWebGpuBackend, type WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { embed } from "../src/engine/embed.ts";
import { collect } from "../src/engine/generation.ts";
import { LLM } from "../src/engine/llm.ts";
import { Scheduler } from "../src/engine/scheduler/scheduler.ts";
import type { Session } from "../src/engine/session.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import {
  CALIBRATION_FILE,
  calibratedShape,
  readCalibration,
  writeCalibration,
} from "../src/models/calibration-file.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { nodePlatform } from "../src/node/platform.ts";
import type { OnProgress, ProgressEvent } from "../src/platform.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { isThorough } from "./support/optional.ts";
import { checkpointPath } from "./support/shared.ts";
import { download, upload } from "./support/wasm-backend.ts";

const PROMPT = "Once upon a time there was a little girl who lived";
const OPTIONS = { temperature: 0, ignoreEos: true } as const;
/** Codes are not searched for: on a GPU in software that is a quarter of what a token takes, and the contract has it. */
const KV = "k4v4,search=off,window=16,sinks=4";

/** Tokens whose submits are counted. */
const STEADY = isThorough ? 256 : 24;

/** A token takes half the time of what it takes with all four. */
const LAYERS = 2;

/** The smallest checkpoint with its calibration, without its last layers. */
async function writeShallow(folder: string): Promise<void> {
  const whole = checkpointPath("qwen3-1m")!;
  cpSync(whole, folder, { recursive: true });
  const file = join(folder, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  const types = config.layer_types.slice(0, LAYERS);
  writeFileSync(file, JSON.stringify({ ...config, num_hidden_layers: LAYERS, layer_types: types }));
  const shape = calibratedShape(parseModelConfig(JSON.parse(readFileSync(file, "utf8")), file));
  const [from, to] = [await nodePlatform.openSource(whole), await nodePlatform.openSource(folder)];
  const { layers } = await readCalibration(from, "auto", shape, await openCheckpoint(from));
  const fingerprint = await (await openCheckpoint(to)).fingerprint();
  writeFileSync(join(folder, CALIBRATION_FILE), writeCalibration(layers, shape, fingerprint));
  for (const source of [from, to]) await source.close();
}

/** Names of what is made on a device from now on. */
function watch(device: GPUDevice) {
  const calls: string[] = [];
  const names = [
    "createBuffer",
    "createBindGroup",
    "createCommandEncoder",
    "createComputePipeline",
    "createComputePipelineAsync",
    "createShaderModule",
  ] as const;
  const originals = names.map((name) => device[name]);
  for (const [i, name] of names.entries()) {
    const call = (...args: unknown[]): unknown => {
      calls.push(name);
      return (originals[i] as (...args: unknown[]) => unknown).apply(device, args);
    };
    Object.assign(device, { [name]: call });
  }
  const stop = (): void => {
    for (const [i, name] of names.entries()) Object.assign(device, { [name]: originals[i] });
  };
  return { calls, stop };
}

/** By default just longer than a page of codes, and than the largest step but one of the warm-up: reading a token takes SwiftShader 0.1 s. */
function longPrompt(llm: LLM, length = 66): number[] {
  const ids = llm.tokenizer.encode(`${PROMPT} in a house by the sea. `.repeat(6)).slice(0, length);
  expect(ids).toHaveLength(length);
  return ids;
}

const gpuOf = (llm: LLM): WebGpuBackend => llm.ops as WebGpuBackend;

async function tokensOf(session: Session, prompt: string, count: number): Promise<number[]> {
  const tokens: number[] = [];
  for await (const { token } of session.generate(prompt, { ...OPTIONS, maxNewTokens: count })) {
    if (token !== undefined) tokens.push(token);
  }
  return tokens;
}

describe.skipIf(gpuSkip)("the engine on WebGPU", { timeout: GPU_TIMEOUT_MS }, () => {
  let folder: string;
  const load = (backend: "wasm" | "webgpu", onProgress: OnProgress = () => {}) =>
    LLM.load(folder, { backend, kv: KV, contextLength: 512, onProgress });
  let wasm: LLM;
  let webgpu: LLM;
  const progress: ProgressEvent[] = [];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "turboquant-engine-"));
    await writeShallow(folder);
    wasm = await load("wasm");
    webgpu = await load("webgpu", (event) => progress.push(event));
  }, GPU_TIMEOUT_MS);
  afterAll(async () => {
    await wasm?.dispose();
    await webgpu?.dispose();
    rmSync(folder, { recursive: true });
  });

  it("loading says how many kernels are compiled, after the weights, one by one", () => {
    const kernels = progress.filter(({ phase }) => phase === "compile");
    const { total } = kernels[0]!;
    expect(total).toBe(gpuOf(webgpu).commands.compilation.kernels);
    expect(total).toBeGreaterThan(5);
    expect(kernels.map(({ done }) => done)).toEqual(Array.from({ length: total + 1 }, (_, done) => done));
    expect(progress.slice(-kernels.length), "the last phase").toEqual(kernels);
    expect(progress.some(({ phase }) => phase === "load")).toBe(true);
  });

  it("an embedding is that of the other backend", async () => {
    const ids = wasm.tokenizer.encode(PROMPT).slice(0, 3);
    const [[ours], [theirs]] = await Promise.all([webgpu, wasm].map((llm) => embed(llm, [ids], { pooling: "mean" })));
    const cosine = ours!.reduce((sum, value, i) => sum + value * theirs![i]!, 0);
    expect(cosine).toBeGreaterThan(0.9999);
  });

  it("a sequence saved on one backend goes on with the same tokens on the other, and back", async () => {
    const whole = wasm.createSession();
    const expected = [...(await tokensOf(whole, PROMPT, 24)), ...(await tokensOf(whole, " and", 12))];
    expected.push(...(await tokensOf(whole, " then", 12)));

    const first = wasm.createSession();
    const actual = await tokensOf(first, PROMPT, 24);
    const second = webgpu.restore(await first.save());
    actual.push(...(await tokensOf(second, " and", 12)));
    const third = wasm.restore(await second.save());
    actual.push(...(await tokensOf(third, " then", 12)));
    expect(actual).toEqual(expected);
    for (const session of [whole, first, second, third]) session.release();
  });

  it("requests at once say what each says alone, and a prompt that goes on with one of them finds it", async () => {
    const prompts = [wasm.tokenizer.encode(PROMPT), longPrompt(wasm)];
    const options = { ...OPTIONS, maxNewTokens: 6 };
    const expected: (readonly number[])[] = [];
    for (const ids of prompts) expected.push((await collect(wasm.generate(ids, options))).tokens);
    const scheduler = new Scheduler(webgpu);
    const answers = await Promise.all(prompts.map((ids) => collect(scheduler.generate(ids, options))));
    expect(answers.map(({ tokens }) => tokens)).toEqual(expected);
    const next = await collect(scheduler.generate([...prompts[1]!, ...prompts[0]!], options));
    expect(next.usage.cachedTokens).toBe(64 * Math.floor(prompts[1]!.length / 64));
    const before = webgpu.cache.numBytes;
    await scheduler.close();
    expect(webgpu.cache.numBytes).toBeLessThan(before);
  });

  it("forks go on as each would alone", async () => {
    const expected = await Promise.all(
      [" The dog", " A bird"].map(async (next) => {
        const session = wasm.createSession();
        await tokensOf(session, PROMPT, 8);
        return tokensOf(session, next, 8);
      }),
    );
    const trunk = webgpu.createSession();
    await tokensOf(trunk, PROMPT, 8);
    const forks = [trunk, trunk.fork()];
    const actual = await Promise.all(forks.map((session, i) => tokensOf(session, [" The dog", " A bird"][i]!, 8)));
    expect(actual).toEqual(expected);
    for (const session of forks) session.release();
  });

  it("what is loaded has its kernels: a short prompt, a long one, drawn tokens and a batch make none", async () => {
    const made = watch(gpuOf(webgpu).context.device);
    try {
      for (const [prompt, options] of [
        [PROMPT, {}],
        [longPrompt(webgpu), { temperature: 0.8, topK: 20 }],
        ["a", { temperature: 0.8, topP: 0.9 }],
      ] as const) {
        await collect(webgpu.generate(prompt, { ...OPTIONS, ...options, maxNewTokens: 4 }));
      }
      const sequences = Array.from({ length: 6 }, () => webgpu.cache.createSequence());
      await webgpu.runner.step(sequences.map((sequence) => ({ sequence, tokens: [1, 2], logits: "last" as const })));
      await webgpu.runner.step(
        sequences.slice(3).map((sequence) => ({ sequence, tokens: [3], logits: "last" as const })),
      );
      for (const sequence of sequences) sequence.release();
    } finally {
      made.stop();
    }
    expect(made.calls.filter((name) => /Pipeline|ShaderModule/.test(name))).toEqual([]);
    // The other way round the watch would see nothing at all.
    expect(made.calls).toContain("createCommandEncoder");
  });

  it("another format brings its own kernels when it is made, not with its first token", async () => {
    const view = await webgpu.withKv("f16");
    const made = watch(gpuOf(webgpu).context.device);
    try {
      await collect(view.generate(PROMPT, { ...OPTIONS, maxNewTokens: 4 }));
    } finally {
      made.stop();
    }
    expect(made.calls.filter((name) => /Pipeline|ShaderModule/.test(name))).toEqual([]);
    await view.dispose();
    await expect(webgpu.withKv("kivi-2")).rejects.toMatchObject({ code: "unsupported" });
  });

  // From the 56th position on: into the next page of codes, and into two more pages of 16-bit copies.
  it(`${STEADY} tokens are ${STEADY} submits and make no buffer, bind group or pipeline`, async () => {
    const { commands, context } = gpuOf(webgpu);
    const session = webgpu.createSession();
    const submits: number[] = [];
    let made: ReturnType<typeof watch> | null = null;
    try {
      for await (const _ of session.generate(longPrompt(webgpu, 44), { ...OPTIONS, maxNewTokens: 12 + STEADY + 4 })) {
        submits.push(commands.counts.submits);
        if (submits.length === 12) made = watch(context.device);
        if (submits.length === 12 + STEADY) made?.stop();
      }
    } finally {
      made?.stop();
    }
    expect(submits[12 + STEADY - 1]! - submits[12 - 1]!).toBe(STEADY);
    expect(made?.calls.filter((name) => name !== "createCommandEncoder")).toEqual([]);
    session.release();
  });

  it("nothing of a session is left behind", async () => {
    const { allocator } = gpuOf(webgpu);
    const first = webgpu.createSession();
    await tokensOf(first, PROMPT, 4);
    const [count, bytes] = [allocator.count, allocator.numBytes];
    for (let i = 0; i < 2; i++) {
      const session = webgpu.createSession();
      await tokensOf(session, PROMPT, 4);
      session.release();
    }
    expect(allocator.count).toBeLessThanOrEqual(count + 2);
    expect(allocator.numBytes).toBeLessThan(bytes * 1.5);
    first.release();
    expect(webgpu.cache.numBytes).toBe(0);
  });

  it("drafts, drawn on the device, leave the answer as it is and need no kernel that is not there", async () => {
    const ids = webgpu.tokenizer.encode(PROMPT);
    const { commands, context } = gpuOf(webgpu);
    const before = commands.compilation.kernels;
    for (const options of [OPTIONS, { ...OPTIONS, temperature: 0.8, topK: 20, seed: 3 }]) {
      const own = { ...options, maxNewTokens: 10 };
      const { tokens } = await collect(webgpu.generate(ids, own));
      const propose = async (known: readonly number[], most: number): Promise<number[]> => {
        const at = known.length - ids.length;
        return tokens.slice(at, at + most).map((token, i) => ((at + i) % 3 === 2 ? token + 1 : token));
      };
      const createSource = () => ({ propose, release() {} });
      const drafted = await collect(webgpu.generate(ids, { ...own, speculate: { createSource } }));
      expect(drafted.tokens).toHaveLength(tokens.length);
      expect(drafted.usage.draftedTokens).toBeGreaterThan(drafted.usage.acceptedTokens!);
      // Kernels are chosen by the number of rows. Where the device is no program, the last bits may choose another of two tokens.
      if (!context.isSoftware) continue;
      expect(drafted.tokens).toEqual(tokens);
      expect(drafted.usage.acceptedTokens).toBeGreaterThan(3);
    }
    expect(commands.compilation.kernels).toBe(before);
    expect(webgpu.cache.numBytes).toBe(0);
  });

  // The last one: it leaves no `webgpu`.
  it("a device lost in mid-generation rejects the caller; the saved session goes on elsewhere, and another device can be opened", async () => {
    const whole = wasm.createSession();
    const expected = [...(await tokensOf(whole, PROMPT, 6)), ...(await tokensOf(whole, " and", 10))];

    const session = webgpu.createSession();
    const tokens = await tokensOf(session, PROMPT, 6);
    const saved = await session.save();
    const run = async (): Promise<void> => {
      let n = 0;
      for await (const _ of session.generate(" and", { ...OPTIONS, maxNewTokens: 60 })) {
        if (++n === 5) gpuOf(webgpu).context.device.destroy();
      }
    };
    await expect(run()).rejects.toMatchObject({
      code: "device_lost",
      message: expect.stringMatching(/load the model again and restore a saved session/),
    });
    await expect(tokensOf(session, " again", 3)).rejects.toMatchObject({ code: "device_lost" });
    await expect(session.save()).rejects.toMatchObject({ code: "device_lost" });
    const { allocator } = gpuOf(webgpu);
    await webgpu.dispose();
    expect([allocator.count, allocator.numBytes]).toEqual([0, 0]);

    const restored = wasm.restore(saved);
    tokens.push(...(await tokensOf(restored, " and", 10)));
    expect(tokens).toEqual(expected);
    restored.release();
    whole.release();

    // Loading the model again would make the same kernels again, which takes as long as the first time.
    const again = await createWebGpuBackend();
    expect(await download(again, upload(again, Float32Array.of(1, 2, 3)))).toEqual(Float32Array.of(1, 2, 3));
    await again.dispose();
    expect(again.allocator.count).toBe(0);
  });
});
