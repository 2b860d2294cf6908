/**
 * @file Measures the quality of cache formats on a text: perplexity,
 * divergence from an uncompressed cache with the same weights, recall.
 */
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import type { OnProgress } from "../platform.ts";
import { valuesOfToken } from "../quant/page-layout.ts";
import { codesRead } from "./codes-read.ts";
import { type Contender, compareOnTokens, emptyRecord, makeContender, type TokenRecord } from "./compare.ts";
import { diagnoseFormats, type LayerDiagnosis } from "./diagnose.ts";
import { type DivergenceSummary, summarizeDivergence } from "./divergence.ts";
import { decodersFor } from "./format-decoders.ts";
import { GREEDY_PROMPT_TOKENS, type GreedySummary } from "./greedy.ts";
import { batchStandardError, wilson } from "./intervals.ts";
import { checkGrid, type NeedleCell, type NeedleGrid } from "./needle-grid.ts";
import { perplexity, perplexityRatio } from "./perplexity.ts";
import { checkReadPath, type ReadPath } from "./read-path.ts";
import { runGreedy, runNeedleGrid, runNeedles, type Trial } from "./recall.ts";
import { textChunks } from "./text-chunks.ts";

export { decodersFor };

export interface EvalOptions {
  readonly text: string;
  /** Description of the text for the rows: a file name, or how it was made. */
  readonly textSource?: string;
  /** Cache formats to evaluate, as `--kv` takes them. */
  readonly kv: readonly string[];
  /** The format to compare with; `f16` by default. */
  readonly base?: string;
  /** Tokens in a chunk; each chunk starts from an empty cache. */
  readonly ctx: number;
  /** Number of chunks from the beginning of the text; fewer when it is shorter. */
  readonly chunks: number;
  /** Number of chunks to skip before them. */
  readonly skipChunks?: number;
  /** Number of recall prompts; 0 for none. */
  readonly needle?: number;
  /** Recall by prompt length and depth. */
  readonly needleGrid?: NeedleGrid;
  /** Greedy continuations of pieces of the text: how many, and how long. */
  readonly greedy?: { readonly prompts: number; readonly tokens: number };
  /** Whether to measure the noise of every layer on the first chunk. */
  readonly diagnose?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

/** Figures of one format, all of them measured. Divergences are in nats and over all positions; Low and High bound 95 % intervals. */
export interface EvalRow extends DivergenceSummary {
  readonly model: string;
  readonly kv: string;
  readonly base: string;
  readonly textSource: string | null;
  readonly ctx: number;
  readonly chunks: number;
  /**
   * Number of tokens fed, which is the number of divergences. Perplexity
   * has one value fewer for each chunk, whose first token is not predicted.
   */
  readonly tokens: number;
  readonly ppl: number;
  readonly pplBase: number;
  readonly pplRatio: number;
  /** Standard error of `pplRatio`, paired token by token. */
  readonly pplRatioSe: number;
  /** Standard error of `kldMean`, by batch means; NaN (null in JSON) for fewer than two batches. */
  readonly kldMeanSe: number;
  /** Share of positions whose most likely token is also the base's. */
  readonly top1: number;
  readonly top1Low: number;
  readonly top1High: number;
  /** Share of recall prompts answered exactly; null without such prompts. */
  readonly needle: number | null;
  readonly needleLow: number | null;
  readonly needleHigh: number | null;
  readonly needleBase: number | null;
  readonly needleBaseLow: number | null;
  readonly needleBaseHigh: number | null;
  readonly needlePrompts: number;
  readonly needleGrid: readonly NeedleCell[] | null;
  readonly greedy: GreedySummary | null;
  readonly layers: readonly LayerDiagnosis[] | null;
  /** Whether attention was seen to read codes, and if not, why. */
  readonly readPath: ReadPath;
  /** Share of what attention read that was codes, and not sinks or window (`codesRead`); null for a format without codes. */
  readonly codesRead: number | null;
  /** Allocated bits a cached value at the end of a chunk, with codes, scales, sinks and window. */
  readonly bitsPerValue: number;
  /** Allocated bytes of the cache of one chunk. */
  readonly kvBytes: number;
  readonly kvBytesBase: number;
  /** Wall time of the whole run that this row came from. */
  readonly seconds: number;
}

/**
 * Evaluates all of `options.kv` in one run, so that the base's logits are computed once. Uses the backend and the weights of
 * `llm`; its own format does not matter.
 * @throws TurboQuantError invalid_argument — a bad spec, a ctx beyond the model's, a text shorter than one chunk; internal —
 * attention did not read the packed pages
 */
export async function evaluate(llm: LLM, options: EvalOptions): Promise<EvalRow[]> {
  return (await evaluateByToken(llm, options)).map(({ row }) => row);
}

export interface EvalByToken {
  readonly row: EvalRow;
  /** KL(base ‖ format) at every position, for comparing formats token by token. */
  readonly klds: readonly number[];
}

/** Like `evaluate`, with the divergences of every token. */
export async function evaluateByToken(llm: LLM, options: EvalOptions): Promise<EvalByToken[]> {
  const { text, ctx, base: baseText = "f16", signal, onProgress } = options;
  checkLengths(llm, options);
  const started = performance.now();
  const specs = [baseText, ...options.kv];
  const decoders = await decodersFor(llm, specs);
  try {
    const pieces = textChunks(llm.tokenizer, text, ctx, options.chunks, options.skipChunks);
    const contenders = decoders.map((decoder) => makeContender(decoder, llm.config.maxPositionEmbeddings));
    const trial: Trial = { llm, text, contenders, signal, onProgress };
    const { records, readPaths } = await runChunks(trial, pieces, specs);
    const needles = await runNeedles(trial, options.needle ?? 0);
    const grids = options.needleGrid ? await runNeedleGrid(trial, options.needleGrid) : null;
    const greedy = options.greedy ? await runGreedy(trial, options.greedy) : null;
    const layers = options.diagnose ? await diagnoseFormats(llm, pieces[0]!, decoders.slice(1), signal) : null;
    const seconds = (performance.now() - started) / 1000;
    return options.kv.map((kv, i) => ({
      klds: records[i + 1]!.klds,
      row: {
        model: llm.name,
        kv,
        base: baseText,
        textSource: options.textSource ?? null,
        ctx,
        chunks: pieces.length,
        tokens: pieces.length * ctx,
        ...figures(records[0]!, records[i + 1]!),
        ...recall(needles[i + 1]!, needles[0]!),
        needleGrid: grids?.[i] ?? null,
        greedy: greedy?.[i] ?? null,
        layers: layers?.[i] ?? null,
        readPath: readPaths[i + 1]!,
        codesRead: codesRead(llm.config, decoders[i + 1]!.kv, ctx),
        bitsPerValue: bitsPerValue(llm, records[i + 1]!.kvBytes, ctx),
        kvBytes: records[i + 1]!.kvBytes,
        kvBytesBase: records[0]!.kvBytes,
        seconds,
      },
    }));
  } finally {
    for (const decoder of decoders) decoder.dispose();
  }
}

function checkLengths(llm: LLM, { ctx, needleGrid, greedy }: EvalOptions): void {
  const limit = llm.config.maxPositionEmbeddings;
  if (!Number.isInteger(ctx) || ctx < 2 || ctx > limit) {
    throw new TurboQuantError(
      "invalid_argument",
      `eval: ctx: expected 2 to ${limit} (the model's max_position_embeddings), got ${ctx}`,
      { ctx, limit },
    );
  }
  if (needleGrid) checkGrid(needleGrid, limit);
  if (greedy && !(greedy.tokens >= 1 && GREEDY_PROMPT_TOKENS + greedy.tokens <= limit)) {
    throw new TurboQuantError(
      "invalid_argument",
      `eval: greedy tokens: expected 1 to ${limit - GREEDY_PROMPT_TOKENS} after a prompt of ${GREEDY_PROMPT_TOKENS}, got ${greedy.tokens}`,
      { tokens: greedy.tokens, limit },
    );
  }
}

/** Feeds the chunks to all contenders. On the first chunk's sequences it also checks what attention reads. */
async function runChunks(
  { contenders, signal, onProgress }: Trial,
  pieces: readonly Int32Array[],
  specs: readonly string[],
) {
  const [base, ...others] = contenders as [Contender, ...Contender[]];
  const records = contenders.map(emptyRecord);
  const readPaths: ReadPath[] = [];
  const perPiece = pieces[0]!.length * contenders.length;
  for (const [i, piece] of pieces.entries()) {
    await compareOnTokens(piece, base, records[0]!, others, records.slice(1), {
      signal,
      onTokens: (done) =>
        onProgress?.({
          phase: "eval",
          item: `chunk ${i + 1}/${pieces.length}`,
          done: i * perPiece + done,
          total: pieces.length * perPiece,
          unit: "tokens",
        }),
      ...(i === 0 && {
        onFed: async (sequences) => {
          for (const [c, sequence] of sequences.entries()) {
            readPaths.push(await checkReadPath(contenders[c]!, sequence, piece.at(-1)!, specs[c]!, signal));
          }
        },
      }),
    });
  }
  return { records, readPaths };
}

function figures(base: TokenRecord, own: TokenRecord) {
  const { ratio, standardError } = perplexityRatio(base.nlls, own.nlls);
  const top1 = wilson(own.agreements, own.klds.length);
  return {
    ppl: perplexity(own.nlls),
    pplBase: perplexity(base.nlls),
    pplRatio: ratio,
    pplRatioSe: standardError,
    ...summarizeDivergence(own.klds),
    kldMeanSe: batchStandardError(own.klds),
    top1: own.agreements / own.klds.length,
    top1Low: top1.low,
    top1High: top1.high,
  };
}

/** Shares of prompts answered, with intervals; null without prompts. hits, baseHits: whether each prompt was answered */
function recall(hits: readonly boolean[], baseHits: readonly boolean[]) {
  const prompts = hits.length;
  const rate = (of: readonly boolean[]) => {
    if (prompts === 0) return { share: null, low: null, high: null };
    const count = of.filter(Boolean).length;
    return { share: count / prompts, ...wilson(count, prompts) };
  };
  const [own, base] = [rate(hits), rate(baseHits)];
  return {
    needle: own.share,
    needleLow: own.low,
    needleHigh: own.high,
    needleBase: base.share,
    needleBaseLow: base.low,
    needleBaseHigh: base.high,
    needlePrompts: prompts,
  };
}

/** Of keys and values alone, without states that do not grow; of a window those that it keeps. 0 for a model that has none. */
function bitsPerValue({ cache }: LLM, kvBytes: number, tokens: number): number {
  const values = cache.layers.reduce(
    (sum, { main, reach }) => sum + valuesOfToken(main) * (tokens - reach.firstKey(tokens - 1)),
    0,
  );
  const fixed = cache.slots.reduce((sum, { fixedBytes }) => sum + fixedBytes, 0);
  return values === 0 ? 0 : (8 * (kvBytes - fixed)) / values;
}
