/** @file llama.cpp on the CPU, through node-llama-cpp's prebuilt binary: the part of its API that is used here. */
import { installPeers, versionOf } from "./install.ts";

/** Types of its cache, by the names of `--kv`. */
export const CACHE_TYPES = {
  f32: "F32",
  f16: "F16",
  q8_0: "Q8_0",
  q5_1: "Q5_1",
  q5_0: "Q5_0",
  q4_1: "Q4_1",
  q4_0: "Q4_0",
} as const;
export type CacheType = keyof typeof CACHE_TYPES;

interface Generation {
  readonly token?: boolean;
  readonly logits?: boolean;
  readonly options: { readonly temperature: number };
}
export interface LlamaSequence {
  readonly nextTokenIndex: number;
  evaluateWithoutGeneratingNewTokens(tokens: number[]): Promise<void>;
  controlledEvaluate(
    input: [number, { generateNext: Generation }][],
  ): Promise<({ readonly next: { readonly logits?: Map<number, number> } } | undefined)[]>;
  eraseContextTokenRanges(ranges: { start: number; end: number }[]): Promise<void>;
}
export interface LlamaContext {
  readonly currentThreads: number;
  readonly flashAttention: unknown;
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}
export interface LlamaModel {
  tokenize(text: string, specialTokens?: boolean): number[];
  iterateAllTokens(): Iterable<number>;
  createContext(options: Record<string, unknown>): Promise<LlamaContext>;
  dispose(): Promise<void>;
}
interface Llama {
  readonly llamaCppRelease: { readonly release: string };
  loadModel(options: Record<string, unknown>): Promise<LlamaModel>;
  dispose(): Promise<void>;
}

export interface LlamaPeer {
  /** What goes into a record: the package's version and llama.cpp's release. */
  readonly about: { readonly engine: string; readonly version: string; readonly llamaCpp: string };
  load(path: string): Promise<LlamaModel>;
  dispose(): Promise<void>;
}

/** Installs the package first where it is missing. */
export async function openLlamaPeer(threads: number): Promise<LlamaPeer> {
  installPeers();
  // It is not installed where types are checked.
  const { getLlama } = (await import("node-llama-cpp" as string)) as {
    getLlama(options: Record<string, unknown>): Promise<Llama>;
  };
  const llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    maxThreads: threads,
    logLevel: "error",
  });
  return {
    about: {
      engine: "node-llama-cpp",
      version: versionOf("node-llama-cpp"),
      llamaCpp: llama.llamaCppRelease.release,
    },
    load: (modelPath) => llama.loadModel({ modelPath, gpuLayers: 0 }),
    dispose: () => llama.dispose(),
  };
}

export interface ContextOptions {
  readonly kv: CacheType;
  /** Tokens. */
  readonly contextSize: number;
  /** Tokens of a batch. */
  readonly batchSize: number;
  readonly threads: number;
  readonly flashAttention: boolean;
}

export function createContext(model: LlamaModel, options: ContextOptions): Promise<LlamaContext> {
  const { kv, threads, ...rest } = options;
  return model.createContext({
    ...rest,
    threads: { ideal: threads, min: threads },
    experimentalKvCacheKeyType: CACHE_TYPES[kv],
    experimentalKvCacheValueType: CACHE_TYPES[kv],
  });
}

const NEXT_TOKEN = { generateNext: { token: true, options: { temperature: 0 } } };
const NEXT_LOGITS = { generateNext: { logits: true, options: { temperature: 0 } } };

/** One step: a token is read and the next one drawn greedily, as node-llama-cpp offers no step without a draw. */
export async function decodeStep(sequence: LlamaSequence, token: number): Promise<void> {
  await sequence.controlledEvaluate([[token, NEXT_TOKEN]]);
}

/** Reads tokens; a row of logits for each, [vocabSize]. */
export async function logitsOf(
  sequence: LlamaSequence,
  tokens: readonly number[],
  vocabSize: number,
): Promise<Float32Array[]> {
  const outputs = await sequence.controlledEvaluate(tokens.map((token) => [token, NEXT_LOGITS]));
  return tokens.map((_, i) => {
    const row = new Float32Array(vocabSize).fill(Number.NEGATIVE_INFINITY);
    for (const [token, logit] of outputs[i]!.next.logits!) row[token] = logit;
    return row;
  });
}

/** Goes back to the first `length` tokens. */
export async function cutTo(sequence: LlamaSequence, length: number): Promise<void> {
  const end = sequence.nextTokenIndex;
  if (end > length) await sequence.eraseContextTokenRanges([{ start: length, end }]);
}
