/**
 * @file Measures the quality of cache formats on a text: perplexity,
 * divergence from an uncompressed cache with the same weights, recall.
 */
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import type { OnProgress } from "../platform.ts";
import { valuesOfToken } from "../quant/page-layout.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { allocatedBytes } from "./allocated-bytes.ts";
import { codesRead } from "./codes-read.ts";
import {
  agreements,
  type Contender,
  compareOnTokens,
  emptyRecord,
  makeContender,
  type TokenRecord,
} from "./compare.ts";
import { diagnoseFormats, type LayerDiagnosis } from "./diagnose.ts";
import { type DivergenceSummary, mean, summarizeDivergence } from "./divergence.ts";
import { type EntryStore, ExactCache } from "./exact-cache.ts";
import { decodersFor } from "./format-decoders.ts";
import { GREEDY_PROMPT_TOKENS, type GreedySummary } from "./greedy.ts";
import { batchStandardError, wilson } from "./intervals.ts";
import { NEEDLE_PROMPT_TOKENS } from "./needle.ts";
import { checkGrid, type NeedleCell, type NeedleGrid } from "./needle-grid.ts";
import { perplexity, perplexityRatio } from "./perplexity.ts";
import { checkReadPath, type ReadPath } from "./read-path.ts";
import { type Part, promptsOf, runGreedy, runNeedleGrid, runNeedles, runTasks, type Trial } from "./recall.ts";
import { refuseLatent } from "./tap.ts";
import { checkTasks, type TaskCell, type TaskGrid } from "./tasks.ts";
import { textChunks } from "./text-chunks.ts";
import { NO_LIMIT, partOf, type TimeLimit } from "./time-limit.ts";
import { Workload } from "./workload.ts";

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
  /** Tasks that need memory of the context, by prompt length. */
  readonly tasks?: TaskGrid;
  /** Whether to measure the noise of every layer on the first chunk. */
  readonly diagnose?: boolean;
  /** Keeps what the base gives, for other formats and later calls. Default: it is computed in every call. */
  readonly exact?: EntryStore;
  /** Ends the evaluation with what is known, after the first block at the earliest unless by hand. Default: none. */
  readonly limit?: TimeLimit;
  /** Formats whose read path this process has proven on this model, which need no second proof; proven ones are added. */
  readonly readPaths?: Map<string, ReadPath>;
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
  /** Number of chunks read, of which a limit may have cut the last. */
  readonly chunks: number;
  /**
   * Number of tokens fed, which is the number of divergences. Perplexity
   * has one value fewer for each chunk, whose first token is not predicted.
   */
  readonly tokens: number;
  /** Number of tokens that there were to feed; more than `tokens` when a limit came first. */
  readonly tokensAsked: number;
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
  readonly tasks: readonly TaskCell[] | null;
  readonly layers: readonly LayerDiagnosis[] | null;
  /** Whether attention was seen to read codes, and if not, why. */
  readonly readPath: ReadPath;
  /** Share of what attention read that was codes, and not sinks or window (`codesRead`); null for a format without codes. */
  readonly codesRead: number | null;
  /** Allocated bits a cached value at the end of a chunk, with codes, scales, sinks and window. */
  readonly bitsPerValue: number;
  /** Allocated bytes of the cache of one whole chunk. */
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
  /** Of stretches of one chunk, of `SEGMENT_TOKENS` positions each. */
  readonly segments: readonly SegmentFigures[];
}

/** Figures of a stretch of text; a rest of less than half its length is left out. */
export interface SegmentFigures {
  /** Natural log of the ratio of perplexities. */
  readonly logRatio: number;
  readonly kldMean: number;
  readonly top1: number;
}

/** Long enough that errors of one stretch and the next have little in common. */
const SEGMENT_TOKENS = 512;

/** Like `evaluate`, with the divergences of every token. */
export async function evaluateByToken(llm: LLM, options: EvalOptions): Promise<EvalByToken[]> {
  const { text, ctx, base: baseText = "f16", signal, limit = NO_LIMIT } = options;
  checkEvaluation(llm, options);
  const started = performance.now();
  const specs = [baseText, ...options.kv];
  const decoders = await decodersFor(llm, specs);
  try {
    const pieces = textChunks(llm.tokenizer, text, ctx, options.chunks, options.skipChunks);
    const contenders = decoders.map((decoder) => makeContender(decoder, llm.config.maxPositionEmbeddings));
    const isExact = parseKvSpec(baseText).isFloat;
    const exact = options.exact && isExact ? new ExactCache(options.exact, llm, baseText) : null;
    const trial: Trial = { llm, contenders, exact, signal };
    const { needleGrid, greedy: greedyAsked } = options;
    const prompts = await promptsOf(llm, text, options);
    const sizes = partSizes(options, pieces);
    const workload = new Workload(
      sizes.map((size) => size * contenders.length),
      limit,
      options.onProgress,
    );
    let partsLeft = sizes.length;
    const next = (): Part => ({ limit: partOf(limit, partsLeft--), report: workload.next() });
    const { records, readPaths, chunks } = await runChunks(trial, next(), pieces, specs, options.readPaths);
    const needles = prompts.needles ? await runNeedles(trial, next(), prompts.needles) : contenders.map(() => []);
    const grids = prompts.grid ? await runNeedleGrid(trial, next(), needleGrid!, prompts.grid) : null;
    const tasks = prompts.tasks ? await runTasks(trial, next(), prompts.tasks) : null;
    const greedy = prompts.greedy ? await runGreedy(trial, next(), greedyAsked!.tokens, prompts.greedy) : null;
    const layers = options.diagnose ? await diagnoseFormats(llm, pieces[0]!, decoders.slice(1), signal) : null;
    const seconds = (performance.now() - started) / 1000;
    return options.kv.map((kv, i) => ({
      klds: records[i + 1]!.klds,
      segments: segmentsOf(records[0]!, records[i + 1]!),
      row: {
        model: llm.name,
        kv,
        base: baseText,
        textSource: options.textSource ?? null,
        ctx,
        chunks,
        tokens: records[i + 1]!.klds.length,
        tokensAsked: pieces.length * ctx,
        ...figures(records[0]!, records[i + 1]!),
        ...recall(needles[i + 1]!, needles[0]!),
        needleGrid: grids?.[i] ?? null,
        greedy: greedy?.[i] ?? null,
        tasks: tasks?.[i] ?? null,
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

/**
 * What of an evaluation can be judged without its text, so that none has to be written first.
 * @throws TurboQuantError invalid_argument — a length that the model does not take; unsupported — a diagnosis of latent attention
 */
export function checkEvaluation(
  llm: LLM,
  { ctx, needleGrid, tasks, greedy, diagnose }: Omit<EvalOptions, "text" | "kv" | "chunks">,
): void {
  const limit = llm.config.maxPositionEmbeddings;
  if (!Number.isInteger(ctx) || ctx < 2 || ctx > limit) {
    throw new TurboQuantError(
      "invalid_argument",
      `eval: ctx: expected 2 to ${limit} (the model's max_position_embeddings), got ${ctx}`,
      { ctx, limit },
    );
  }
  if (needleGrid) checkGrid(needleGrid, limit);
  if (tasks) checkTasks(tasks, limit);
  if (greedy && !(greedy.tokens >= 1 && GREEDY_PROMPT_TOKENS + greedy.tokens <= limit)) {
    throw new TurboQuantError(
      "invalid_argument",
      `eval: greedy tokens: expected 1 to ${limit - GREEDY_PROMPT_TOKENS} after a prompt of ${GREEDY_PROMPT_TOKENS}, got ${greedy.tokens}`,
      { tokens: greedy.tokens, limit },
    );
  }
  if (diagnose) refuseLatent(llm);
}

/** About how many tokens each part feeds to a contender, of the parts that are asked for, in their order. */
function partSizes({ needle = 0, needleGrid, tasks, greedy }: EvalOptions, pieces: readonly Int32Array[]): number[] {
  const sum = (lengths: readonly number[]): number => lengths.reduce((total, length) => total + length, 0);
  return [
    sum(pieces.map(({ length }) => length)),
    needle * NEEDLE_PROMPT_TOKENS,
    needleGrid ? needleGrid.prompts * sum(needleGrid.lengths) : 0,
    tasks ? tasks.prompts * sum(tasks.lengths) : 0,
    greedy ? greedy.prompts * (GREEDY_PROMPT_TOKENS + greedy.tokens) : 0,
  ].filter((size) => size > 0);
}

/**
 * Feeds the chunks to all contenders, until the limit. On the first chunk's sequences it also checks what attention reads.
 *
 * known: read paths proven before; added to
 */
async function runChunks(
  { llm, contenders, exact, signal }: Trial,
  { limit, report }: Part,
  pieces: readonly Int32Array[],
  specs: readonly string[],
  known: Map<string, ReadPath> = new Map(),
) {
  const [base, ...others] = contenders as [Contender, ...Contender[]];
  const records = contenders.map(emptyRecord);
  const perPiece = pieces[0]!.length * contenders.length;
  let chunks = 0;
  let isWhole = true;
  for (const [i, piece] of pieces.entries()) {
    if (i > 0 && limit.isOver) break;
    const done = await compareOnTokens(piece, base, records[0]!, others, records.slice(1), {
      signal,
      exact,
      limit,
      onTokens: (passes) => report((i + passes / perPiece) / pieces.length, `chunk ${i + 1}/${pieces.length}`),
      ...(i === 0 && {
        onFed: async (sequences, tokens) => {
          for (const [c, sequence] of sequences.entries()) {
            const spec = specs[c]!;
            // A text within the window proved nothing.
            if (!sequence || (known.get(spec) ?? "window") !== "window") continue;
            // As long as a few dozen tokens a layer.
            report(tokens / piece.length / pieces.length, `what attention reads, ${c + 1}/${specs.length}`);
            known.set(spec, await checkReadPath(contenders[c]!, sequence, piece[tokens - 1]!, spec, signal));
          }
        },
      }),
    });
    if (done > 0) chunks++;
    isWhole = done === piece.length;
    if (!isWhole) break;
  }
  if (chunks === 0) throw new DOMException("ended before anything was known", "AbortError");
  // Bytes are those of a whole chunk, which a base whose rows were known did not allocate, and of one cut short nobody did.
  for (const [i, record] of records.entries()) {
    if (!isWhole || record.kvBytes === 0) {
      record.kvBytes = allocatedBytes(llm.config, contenders[i]!.runner.decoder.kv, pieces[0]!.length);
    }
  }
  return { records, readPaths: specs.map((spec) => known.get(spec)!), chunks };
}

function segmentsOf(base: TokenRecord, { nlls, klds, agrees }: TokenRecord): SegmentFigures[] {
  const segments: SegmentFigures[] = [];
  for (let at = 0; at + SEGMENT_TOKENS / 2 <= klds.length; at += SEGMENT_TOKENS) {
    const part = <T>(values: readonly T[]): readonly T[] => values.slice(at, at + SEGMENT_TOKENS);
    const own = part(agrees);
    segments.push({
      logRatio: mean(part(nlls)) - mean(part(base.nlls)),
      kldMean: mean(part(klds)),
      top1: own.filter(Boolean).length / own.length,
    });
  }
  return segments;
}

function figures(base: TokenRecord, own: TokenRecord) {
  const { ratio, standardError } = perplexityRatio(base.nlls, own.nlls);
  const same = agreements(own);
  const top1 = wilson(same, own.klds.length);
  return {
    ppl: perplexity(own.nlls),
    pplBase: perplexity(base.nlls),
    pplRatio: ratio,
    pplRatioSe: standardError,
    ...summarizeDivergence(own.klds),
    kldMeanSe: batchStandardError(own.klds),
    top1: same / own.klds.length,
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
    (sum, { main, reach, tokensPerRow }) =>
      sum + valuesOfToken(main) * Math.floor((tokens - reach.firstKey(tokens - 1)) / tokensPerRow),
    0,
  );
  const fixed = cache.slots.reduce((sum, { fixedBytes }) => sum + fixedBytes, 0);
  return values === 0 ? 0 : (8 * (kvBytes - fixed)) / values;
}
