/** @file Quality of cache formats on a text: perplexity, divergence from an uncompressed cache of the same weights, recall. */
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import type { Decoder } from "../models/decoder.ts";
import type { OnProgress } from "../platform.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { type Contender, compareOnTokens, emptyRecord, makeContender, type TokenRecord } from "./compare.ts";
import { type DivergenceSummary, summarizeDivergence } from "./divergence.ts";
import { needlePrompts, recalls } from "./needle.ts";
import { perplexity, perplexityRatio } from "./perplexity.ts";
import { textChunks } from "./text-chunks.ts";

export interface EvalOptions {
  readonly text: string;
  /** Cache formats to evaluate, as `--kv` takes them. */
  readonly kv: readonly string[];
  /** The format compared with; `f16` by default. */
  readonly base?: string;
  /** Tokens of a chunk, each from an empty cache. */
  readonly ctx: number;
  /** Chunks to take from the beginning of the text; fewer when it is shorter. */
  readonly chunks: number;
  /** Recall prompts; 0 for none. */
  readonly needle?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

/** One format's figures. Everything is measured; divergences are in nats and over all positions. */
export interface EvalRow extends DivergenceSummary {
  readonly model: string;
  readonly kv: string;
  readonly base: string;
  readonly ctx: number;
  readonly chunks: number;
  /** Tokens fed, and positions of the divergences. Perplexity is over chunks fewer: a chunk's first token is given. */
  readonly tokens: number;
  readonly ppl: number;
  readonly pplBase: number;
  readonly pplRatio: number;
  /** Standard error of `pplRatio`, paired by token. */
  readonly pplRatioSe: number;
  /** Share of positions with the base's most likely token. */
  readonly top1: number;
  /** Share of recall prompts answered exactly; null when none were asked for. */
  readonly needle: number | null;
  readonly needleBase: number | null;
  /** Allocated bits a cached value at the end of a chunk: codes, scales, sinks and window. */
  readonly bitsPerValue: number;
  /** Allocated bytes of the cache of one chunk. */
  readonly kvBytes: number;
  readonly kvBytesBase: number;
  /** Wall time of the run that this row was part of. */
  readonly seconds: number;
}

/**
 * Evaluates `options.kv` in one run; the base's logits are computed once and shared.
 * The backend and the weights are those of `llm`, its own format does not matter.
 * @throws TurboQuantError invalid_argument — a bad spec, a ctx beyond the model's, a text shorter than one chunk
 */
export async function evaluate(llm: LLM, options: EvalOptions): Promise<EvalRow[]> {
  const { text, ctx, chunks, needle = 0, base: baseText = "f16", signal, onProgress } = options;
  const limit = llm.config.maxPositionEmbeddings;
  if (!Number.isInteger(ctx) || ctx < 2 || ctx > limit) {
    throw new TurboQuantError(
      "invalid_argument",
      `eval: ctx: expected 2 to ${limit} (the model's max_position_embeddings), got ${ctx}`,
      { ctx, limit },
    );
  }
  const started = performance.now();
  const specs = [baseText, ...options.kv];
  const decoders = await decodersFor(llm, specs);
  try {
    const pieces = textChunks(llm.tokenizer, text, ctx, chunks);
    const prompts = needle > 0 ? await needlePrompts(llm.tokenizer, text, needle) : [];
    const longest = Math.max(ctx, ...prompts.map((p) => p.prompt.length + p.answer.length));
    if (longest > limit) {
      throw new TurboQuantError(
        "invalid_argument",
        `eval: a needle prompt has ${longest} tokens, the model takes ${limit}; drop --needle for this model`,
        { tokens: longest, limit },
      );
    }
    const contenders = decoders.map((decoder) => makeContender(decoder, longest));
    const [base, ...others] = contenders as [Contender, ...Contender[]];
    const records = contenders.map(emptyRecord);
    const passes = pieces.length * ctx * contenders.length;
    for (const [i, piece] of pieces.entries()) {
      const before = i * ctx * contenders.length;
      await compareOnTokens(piece, base, records[0]!, others, records.slice(1), {
        signal,
        onTokens: (done) =>
          onProgress?.({
            phase: "eval",
            item: `chunk ${i + 1}/${pieces.length}`,
            done: before + done,
            total: passes,
            unit: "tokens",
          }),
      });
    }
    const hits = contenders.map(() => 0);
    for (const [n, prompt] of prompts.entries()) {
      for (const [i, contender] of contenders.entries()) if (await recalls(contender, prompt, signal)) hits[i]!++;
      onProgress?.({ phase: "eval", item: "needle", done: n + 1, total: prompts.length, unit: "chunks" });
    }
    const seconds = (performance.now() - started) / 1000;
    const share = (i: number): number | null => (prompts.length > 0 ? hits[i]! / prompts.length : null);
    return options.kv.map((kv, i) => ({
      model: llm.name,
      kv,
      base: baseText,
      ctx,
      chunks: pieces.length,
      tokens: pieces.length * ctx,
      ...figures(records[0]!, records[i + 1]!),
      needle: share(i + 1),
      needleBase: share(0),
      bitsPerValue: (records[i + 1]!.kvBytes * 8) / (ctx * valuesPerToken(llm)),
      kvBytes: records[i + 1]!.kvBytes,
      kvBytesBase: records[0]!.kvBytes,
      seconds,
    }));
  } finally {
    for (const decoder of decoders) decoder.dispose();
  }
}

function figures(base: TokenRecord, own: TokenRecord) {
  const { ratio, standardError } = perplexityRatio(base.nlls, own.nlls);
  return {
    ppl: perplexity(own.nlls),
    pplBase: perplexity(base.nlls),
    pplRatio: ratio,
    pplRatioSe: standardError,
    ...summarizeDivergence(own.klds),
    top1: own.agreements / own.klds.length,
  };
}

/** Numbers that a token adds to the cache of all layers. */
function valuesPerToken(llm: LLM): number {
  return llm.config.numLayers * llm.config.numKvHeads * llm.config.headDim * 2;
}

/** A decoder a spec over the weights of `llm`, each with the calibration its spec asks for. */
export async function decodersFor(llm: LLM, specs: readonly string[]): Promise<Decoder[]> {
  const decoders: Decoder[] = [];
  for (const spec of specs.map(parseKvSpec)) {
    decoders.push(llm.decoder.withFormat(spec, await llm.loadCalibration(spec)));
  }
  return decoders;
}
