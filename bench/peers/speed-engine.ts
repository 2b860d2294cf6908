/**
 * @file One engine with a model, in a process of its own, that runs a repeat of a test when it is asked to: ours or llama.cpp's.
 * Started by `speed.ts` with its name and `EngineOptions`.
 */
import "../../src/node/install.ts";
import { randomTokens } from "../../src/bench/throughput.ts";
import { LLM } from "../../src/engine/llm.ts";
import { type CacheType, createContext, cutTo, decodeStep, type LlamaSequence, openLlamaPeer } from "./llama-peer.ts";
import { CHUNK, ourTests, type RunTest, type SpeedTest } from "./speed-test.ts";

export interface EngineOptions {
  readonly path: string;
  readonly kv: readonly string[];
  readonly threads: number;
  /** Tokens of the longest sequence. */
  readonly longest: number;
  /** Seconds that filling a cache may take. */
  readonly limitSeconds: number;
}

export interface Reply {
  /** Milliseconds; null where the cache could not be filled in time. */
  readonly ms: number | null;
}

async function ours(options: EngineOptions): Promise<RunTest> {
  const { path, kv, threads, longest } = options;
  const [first, ...otherKv] = kv;
  const llm = await LLM.load(path, { backend: "wasm", kv: first!, otherKv, threads, contextLength: longest });
  return ourTests(llm, options);
}

async function theirs({ path, kv, threads, longest, limitSeconds }: EngineOptions): Promise<RunTest> {
  const peer = await openLlamaPeer(threads);
  const model = await peer.load(path);
  const sequences = new Map<string, LlamaSequence>();
  for (const type of kv) {
    const context = await createContext(model, {
      kv: type as CacheType,
      contextSize: longest,
      batchSize: CHUNK,
      threads,
      flashAttention: true,
    });
    sequences.set(type, context.getSequence());
  }
  const vocabulary = [...model.iterateAllTokens()].length;
  const tokens = Array.from(randomTokens(longest, vocabulary));
  return async ({ kv: type, depth, prompt, generation }) => {
    const sequence = sequences.get(type)!;
    const deadline = performance.now() + 1000 * limitSeconds;
    while (sequence.nextTokenIndex < depth) {
      if (performance.now() > deadline) return null;
      const start = sequence.nextTokenIndex;
      await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(start, Math.min(depth, start + CHUNK)));
    }
    const next = tokens.slice(depth);
    const began = performance.now();
    if (prompt > 0) await sequence.evaluateWithoutGeneratingNewTokens(next.slice(0, prompt));
    for (const token of next.slice(0, generation)) await decodeStep(sequence, token);
    const ms = performance.now() - began;
    await cutTo(sequence, depth);
    return ms;
  };
}

const options = JSON.parse(process.argv[3]!) as EngineOptions;
const starting = process.argv[2] === "turboquant" ? ours(options) : theirs(options);
process.on("message", async (test: SpeedTest) => {
  process.send!({ ms: await (await starting)(test) } satisfies Reply);
});
// The parent is gone or has all it wants.
process.on("disconnect", () => process.exit(0));
