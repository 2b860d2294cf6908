/** @file In the page of `browser.ts`: ours and wllama, each with the same GGUF file loaded, run the tests they are asked for. */
import type { WorkerReply } from "./browser-worker.ts";
import type { RunTest, SpeedTest } from "./speed-test.ts";

export interface PageOptions {
  readonly kv: readonly string[];
  readonly threads: number;
  readonly longest: number;
  readonly limitSeconds: number;
}

/** The part of wllama's API that is used here; it is not installed where types are checked. */
interface Wllama {
  loadModel(files: Blob[], options: Record<string, unknown>): Promise<void>;
  getNumThreads(): number;
  createCompletion(options: Record<string, unknown>): Promise<{
    readonly timings: {
      readonly prompt_n: number;
      readonly prompt_ms: number;
      readonly predicted_n: number;
      readonly predicted_ms: number;
    };
  }>;
}

/** In a worker of its own, as threads need it: the main thread of a page may not wait. */
async function ours(options: PageOptions): Promise<RunTest> {
  const worker = new Worker("/worker.js", { type: "module" });
  const ask = (message: PageOptions | SpeedTest): Promise<number | null> =>
    new Promise((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message));
      worker.onmessage = ({ data }: MessageEvent<WorkerReply>) =>
        "error" in data ? reject(new Error(data.error)) : resolve(data.ms);
      worker.postMessage(message);
    });
  await ask(options);
  return ask;
}

/** A whole number of words, each of them a token or more. */
const words = (count: number): string => Array.from({ length: count }, (_, i) => ` word${i % 10}`).join("");

/**
 * Its time is what it says itself, as it has no step to call. Generation is asked for after a prompt of `depth` tokens, of which its
 * cache keeps all but the last from repeat to repeat; a prompt is read without the cache. The clock of generation starts at the
 * first token, so one more is asked for.
 */
async function theirs({ kv, threads, longest, limitSeconds }: PageOptions): Promise<RunTest> {
  const { Wllama, LoggerWithoutDebug } = (await import("/wllama.js" as string)) as {
    Wllama: new (paths: Record<string, string>, options: Record<string, unknown>) => Wllama;
    LoggerWithoutDebug: unknown;
  };
  const loaded = new Map<string, Wllama>();
  for (const type of kv) {
    const wllama = new Wllama({ default: "/wllama.wasm" }, { suppressNativeLog: true, logger: LoggerWithoutDebug });
    await wllama.loadModel([await (await fetch("/model.gguf")).blob()], {
      n_ctx: Math.ceil((longest + 64) / 256) * 256,
      n_threads: threads,
      n_gpu_layers: 0,
      n_parallel: 1,
      flash_attn: true,
      cache_type_k: type,
      cache_type_v: type,
    });
    loaded.set(type, wllama);
  }
  /** Prompts by their number of tokens, as texts; a text's tokens are counted by reading it. */
  const prompts = new Map<number, string>();
  const complete = (wllama: Wllama, prompt: string, count: number, isKept: boolean) =>
    wllama.createCompletion({
      prompt,
      max_tokens: count,
      temperature: 0,
      cache_prompt: isKept,
      ignore_eos: true,
    });
  /** About as many tokens as asked for; rates are by those that were read. */
  const promptOf = async (wllama: Wllama, count: number): Promise<string> => {
    const found = prompts.get(count);
    if (found !== undefined) return found;
    const probe = await complete(wllama, words(64), 1, false);
    const text = words(Math.max(1, Math.round((count * 64) / probe.timings.prompt_n)));
    prompts.set(count, text);
    return text;
  };
  return async ({ kv: type, depth, prompt, generation }) => {
    const wllama = loaded.get(type)!;
    const text = await promptOf(wllama, depth + prompt || 1);
    const began = performance.now();
    const { timings } = await complete(wllama, text, generation + 1, prompt === 0);
    if (performance.now() - began > 1000 * limitSeconds) return null;
    // As of the number of tokens that the test is about.
    return prompt > 0
      ? (timings.prompt_ms * prompt) / timings.prompt_n
      : (timings.predicted_ms * generation) / (timings.predicted_n - 1);
  };
}

const engines = new Map<string, Promise<RunTest>>();

/** What `browser.ts` calls. */
Object.assign(globalThis, {
  startEngine: async (name: string, options: PageOptions): Promise<void> => {
    const starting = name === "turboquant" ? ours(options) : theirs(options);
    engines.set(name, starting);
    await starting;
  },
  runTest: async (name: string, test: SpeedTest): Promise<number | null> => (await engines.get(name)!)(test),
});
