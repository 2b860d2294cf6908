/** @file `turboquant recommend`: finds the smallest cache format that keeps a model's quality, and prints the evidence. */
import { type Command, Option } from "commander";
import type { LLM } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";
import { requireCodesRead } from "../../eval/codes-read.ts";
import { evaluateByToken } from "../../eval/evaluate.ts";
import type { EntryStore } from "../../eval/exact-cache.ts";
import { checkCalibrations } from "../../eval/format-decoders.ts";
import { measureRecall } from "../../eval/measure-recall.ts";
import type { ReadPath } from "../../eval/read-path.ts";
import { requireKv } from "../../eval/require-kv.ts";
import { earlier, type RunLimit, type TimeLimit } from "../../eval/time-limit.ts";
import { formatDuration } from "../../format-number.ts";
import { layerKindsOf, layoutOf } from "../../models/layout.ts";
import { CacheMemory } from "../../plan/cache-memory.ts";
import { findSmallest, type SearchResult } from "../../plan/find-smallest.ts";
import { GATES, type GateName, MIN_CHUNKS } from "../../plan/gates.ts";
import { modelOfConfig } from "../../plan/planned-model.ts";
import { isAtLeast, LADDER, TAIL_REFERENCE } from "../../plan/preset-ladder.ts";
import { type KvSpec, parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { checkLengths } from "../eval/check-lengths.ts";
import { entryStore } from "../eval/entry-store.ts";
import { addLimitOptions, type LimitFlags, limitOf } from "../eval/run-limit.ts";
import {
  addTextOptions,
  type ChunkTexts,
  chunkTexts,
  readTextFile,
  type TextFlags,
  type WritingProgress,
} from "../eval/text-input.ts";
import { tableWidth } from "../format.ts";
import { loadModel } from "../load-model.ts";
import {
  addBackendOptions,
  addModelOption,
  addOutputOptions,
  addThreadsOption,
  type BackendFlags,
  backendOptionsOf,
  calibrationOption,
  collectKv,
  type OutputFlags,
  wholeNumber,
} from "../options.ts";
import { type Recommendation, recommendationJson, recommendationText } from "../recommend-output.ts";

interface RecommendFlags extends BackendFlags, OutputFlags, LimitFlags, Omit<TextFlags, "quiet"> {
  readonly model: string;
  readonly gate: GateName;
  readonly ctx?: number;
  readonly chunks: number;
  readonly kv?: readonly string[];
  readonly needle: number;
  readonly context?: number;
}

/** Tokens in a chunk: long enough that most keys have left the residual window, and short enough that a run reads several. */
const DEFAULT_CTX = 1024;
/** Tokens of a recall prompt. */
const RECALL_TOKENS = 1024;
/** What a template and a question may add to it. */
const RECALL_FRAME = 256;
/** What a run may take unless `--time` says otherwise: with starting and finishing less than four minutes. */
const DEFAULT_SECONDS = 225;
/** Share of the time that is kept for recall: of the answer, and of the next one if that forgets too much. */
const RECALL_SHARE = 0.3;

export function configure(command: Command, context: CommandContext): void {
  command.description(
    "Tries cache formats on the model itself, against its exact cache, until the smallest that passes a gate is known: " +
      "perplexity, KL divergence, agreement on the next token, and exact recall where the model can recall at all. " +
      "Ends in one preset, its evidence and what it costs. What the evidence cannot decide in the time is said.",
  );
  addTextOptions(addModelOption(command))
    .addOption(
      new Option("--gate <name>", "intact: PPL +1 %, KLD 0.01, top-1 97 % · usable: +3 %, 0.03, 94 %")
        .choices(Object.keys(GATES))
        .default("intact"),
    )
    .option(
      "-c, --ctx <tokens>",
      `tokens of a chunk (default: ${DEFAULT_CTX}, or what the model takes)`,
      wholeNumber(2),
    )
    .option("--chunks <n>", "most chunks of the text to decide a format with", wholeNumber(MIN_CHUNKS), 16)
    .option("--kv <spec>", `formats to try instead of ${LADDER[0]} … ${LADDER.at(-1)}; may be repeated`, collectKv)
    .option("--needle <n>", "recall questions for the answer; 0: no recall gate", wholeNumber(0), 40)
    .option("--context <tokens>", "length to count bytes for (default: max_position_embeddings)", wholeNumber(1));
  addLimitOptions(command, `${DEFAULT_SECONDS}s`);
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant recommend
  $ turboquant recommend --text novel.txt --gate usable --time 10m
  $ turboquant recommend --model ./Qwen3-0.6B --text novel.txt --context 32768
  $ turboquant recommend --text novel.txt --kv k3v3,k4v3,k4v4,layers=0:k8v8,k5v4 --chunks 16 --json`,
    )
    .action((flags: RecommendFlags) => run(flags, context));
}

async function run(flags: RecommendFlags, context: CommandContext): Promise<void> {
  const { io } = context;
  const started = performance.now();
  const specs = (flags.kv ?? LADDER).map(parseKvSpec);
  const file = await readTextFile(flags.text);
  const progress = progressOf(context, flags);
  await using llm = await loadModel(flags, context, progress, {
    ...backendOptionsOf(flags),
    ...calibrationOption(),
    kv: "f16",
    otherKv: specs.map(({ text }) => text),
  });
  requireKv(llm, "recommend");
  const limit = llm.config.maxPositionEmbeddings;
  const ctx = flags.ctx ?? Math.min(DEFAULT_CTX, limit);
  checkLengths(llm, { "--ctx": [ctx] });
  requireCodesRead(
    llm,
    "recommend",
    specs.map(({ text }) => text),
    { ctx, context: flags.context ?? limit },
  );
  await checkCalibrations(
    llm,
    specs.map(({ text }) => text),
  );
  const store = await entryStore(flags);
  const ms = flags.time ?? 1000 * DEFAULT_SECONDS;
  const runLimit = limitOf(context, ms, performance.now() - started);
  // One bar for all of it, in time, which is what there is a known amount of.
  const show = (item: string): void => {
    const left = Math.max(0, runLimit.msLeft);
    progress.update("recommending", ms - left, ms, `at most ${formatDuration(left / 1000)} left  ${item}`, false);
  };
  const writing = (chunk: number): WritingProgress => ({
    onEvent: ({ done, total }) => show(`chunk ${chunk + 1}, writing its text, ${percent(done, total)}`),
    clear() {},
  });
  const text = chunkTexts(file, llm, ctx, flags, context, writing, store);
  const maxChunks = Math.min(flags.chunks, text.count);
  if (maxChunks < MIN_CHUNKS) {
    throw new TurboQuantError(
      "invalid_argument",
      `recommend: expected a text of at least ${MIN_CHUNKS} chunks of ${ctx} tokens, got ${text.tokens} tokens; pass a longer --text or a smaller --ctx`,
      { tokens: text.tokens, ctx },
    );
  }
  const hasRecall = flags.needle > 0 && limit >= RECALL_TOKENS + RECALL_FRAME;
  const search: Search = {
    llm,
    specs,
    ctx,
    maxChunks,
    flags,
    hasRecall,
    show,
    context,
    store,
    limit: runLimit,
  };
  const result = await findFormat(search, text);
  progress.clear();
  const recommendation = describe(result, search, text.source);
  io.stdout.write(
    flags.json
      ? `${JSON.stringify(recommendationJson(recommendation))}\n`
      : recommendationText(recommendation, tableWidth(io.stdout)),
  );
}

interface Search {
  readonly llm: LLM;
  readonly specs: readonly KvSpec[];
  readonly ctx: number;
  readonly maxChunks: number;
  readonly flags: RecommendFlags;
  readonly hasRecall: boolean;
  /** Says what is being done. */
  readonly show: (item: string) => void;
  readonly context: CommandContext;
  readonly store: EntryStore | null;
  readonly limit: RunLimit;
}

function findFormat(search: Search, text: ChunkTexts): Promise<SearchResult> {
  const { llm, specs, ctx, maxChunks, flags, hasRecall, show, context, store, limit } = search;
  const { signal } = context;
  const kinds = layerKindsOf(layoutOf(llm.config));
  const byText = new Map(specs.map((spec) => [spec.text, spec.forModel(kinds)]));
  const model = modelOfConfig(llm.config, llm.name);
  const exact = store && { exact: store };
  const readPaths = new Map<string, ReadPath>();
  // Recall is asked last, and has to have its time.
  const reserved = hasRecall ? RECALL_SHARE * limit.msLeft : 0;
  let divergence: TimeLimit = limit;
  return findSmallest({
    gate: GATES[flags.gate],
    rungs: [...byText].map(([kv, spec]) => ({ kv, bytesPerToken: new CacheMemory(model, spec).bytesPerToken })),
    isAtLeast: (a, b) => isAtLeast(byText.get(a)!, byText.get(b)!, kinds.length),
    reference: TAIL_REFERENCE,
    maxChunks,
    isOver(hasAnswer) {
      // Without an answer there is nothing to ask recall of.
      divergence = hasAnswer ? earlier(limit, reserved) : limit;
      return divergence.isOver;
    },
    evaluate: async (kv, chunk) => {
      const found = await evaluateByToken(llm, {
        ...exact,
        ...(await text.chunk(chunk)),
        ...{ kv, ctx, chunks: 1, limit: divergence, readPaths, signal },
        onProgress: ({ done, total }) =>
          show(`chunk ${chunk + 1}/${maxChunks}, ${kv.join(", ")}, ${percent(done, total)}`),
      });
      const { tokens, tokensAsked } = found[0]!.row;
      return tokens === tokensAsked ? found.map(({ row, segments }) => ({ ...row, segments })) : null;
    },
    recall: hasRecall
      ? async (kv) =>
          measureRecall(llm, {
            ...exact,
            ...{ text: (await text.chunk(0)).text, kv, questions: flags.needle, tokens: RECALL_TOKENS, limit, signal },
            onPrompt: (done, total) => show(`recall, ${kv}, ${done} of ${total} prompts`),
          })
      : null,
  });
}

const percent = (done: number, total: number): string => `${Math.floor((100 * done) / total)} %`;

/** As a shell takes it for one word. */
const shellWord = (text: string): string => (/^[\w./:@~+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function describe(result: SearchResult, search: Search, source: string): Recommendation {
  const { llm, flags, ctx, maxChunks, hasRecall, limit } = search;
  const model = modelOfConfig(llm.config, llm.name);
  const kv = result.chosen ?? "f16";
  const context = flags.context ?? llm.config.maxPositionEmbeddings;
  const bytes = (spec: string): number => new CacheMemory(model, parseKvSpec(spec)).bytes(context);
  const isUnfinished = result.rungs.some(({ verdict, chunks }) => verdict === "open" && chunks < maxChunks);
  return {
    model: llm.name,
    gate: flags.gate,
    limits: GATES[flags.gate],
    kv: result.chosen,
    text: source,
    ctx,
    maxChunks,
    hasRecall,
    ended: limit.isEnded ? "interrupted" : isUnfinished ? "time" : null,
    rungs: result.rungs,
    cost: { context, cacheBytes: bytes(kv), cacheBytesF16: bytes("f16") },
    command: `npx turboquant run --model ${shellWord(flags.model)} --kv ${kv}`,
  };
}
