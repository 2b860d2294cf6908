/** @file `turboquant recommend`: finds the smallest cache format that keeps a model's quality, and prints the evidence. */
import { type Command, Option } from "commander";
import type { LLM } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";
import { requireCodesRead } from "../../eval/codes-read.ts";
import { evaluate } from "../../eval/evaluate.ts";
import { requireKv } from "../../eval/require-kv.ts";
import { layerKindsOf, layoutOf } from "../../models/layout.ts";
import { CacheMemory } from "../../plan/cache-memory.ts";
import { findSmallest, type SearchResult } from "../../plan/find-smallest.ts";
import { GATES, type GateName, MIN_CHUNKS } from "../../plan/gates.ts";
import { modelOfConfig } from "../../plan/planned-model.ts";
import { isAtLeast, LADDER, TAIL_REFERENCE } from "../../plan/preset-ladder.ts";
import { type KvSpec, parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { addTextOptions, type EvalText, readTextFile, type TextFlags, textOrOwn } from "../eval/text-input.ts";
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
import type { Progress } from "../progress.ts";
import { type Recommendation, recommendationJson, recommendationText } from "../recommend-output.ts";

interface RecommendFlags extends BackendFlags, OutputFlags, Omit<TextFlags, "quiet"> {
  readonly model: string;
  readonly gate: GateName;
  readonly ctx?: number;
  readonly chunks: number;
  readonly kv?: readonly string[];
  readonly needle: number;
  readonly context?: number;
}

/** Tokens in a chunk: long enough that most keys have left the residual window. */
const DEFAULT_CTX = 2048;
/** Approximate tokens of a recall prompt. */
const NEEDLE_TOKENS = 2048;
/** Tokens of text that an evaluation which only asks for recall is fed in addition. */
const NEEDLE_CTX = 64;

export function configure(command: Command, context: CommandContext): void {
  command.description(
    "Tries cache formats from small to large on the model itself, against its exact cache, until the smallest that passes a gate " +
      "is known: perplexity, KL divergence, agreement on the next token, and exact recall where the model can recall at all. " +
      "Ends in one preset, its evidence and what it costs. What the evidence cannot decide is said.",
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
    .option("--chunks <n>", "most chunks of the text to decide a format with", wholeNumber(MIN_CHUNKS), 8)
    .option("--kv <spec>", `formats to try instead of ${LADDER[0]} … ${LADDER.at(-1)}; may be repeated`, collectKv)
    .option("--needle <n>", "recall prompts for the answer; 0: no recall gate", wholeNumber(0), 40)
    .option("--context <tokens>", "length to count bytes for (default: max_position_embeddings)", wholeNumber(1));
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant recommend
  $ turboquant recommend --text novel.txt --gate usable
  $ turboquant recommend --model ./Qwen3-0.6B --text novel.txt --context 32768
  $ turboquant recommend --text novel.txt --kv k3v3,k4v3,k4v4,layers=0:k8v8,k5v4 --chunks 16 --json`,
    )
    .action((flags: RecommendFlags) => run(flags, context));
}

async function run(flags: RecommendFlags, context: CommandContext): Promise<void> {
  const { io } = context;
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
  requireCodesRead(
    llm,
    "recommend",
    specs.map(({ text }) => text),
    { ctx, context: flags.context ?? limit },
  );
  const text = await textOrOwn(file, llm, ctx * flags.chunks, flags, context, progress);
  const tokens = llm.tokenizer.encode(text.text, { addSpecialTokens: false }).length;
  const maxChunks = Math.min(flags.chunks, Math.floor(tokens / ctx));
  if (maxChunks < MIN_CHUNKS) {
    throw new TurboQuantError(
      "invalid_argument",
      `recommend: expected a text of at least ${MIN_CHUNKS} chunks of ${ctx} tokens, got ${tokens} tokens; pass a longer --text or a smaller --ctx`,
      { tokens, ctx },
    );
  }
  const hasRecall = flags.needle > 0 && limit >= NEEDLE_TOKENS;
  const result = await search({ llm, specs, text, ctx, maxChunks, flags, hasRecall, progress, context });
  progress.clear();
  const recommendation = describe(llm, result, { flags, ctx, maxChunks, source: text.source, hasRecall });
  io.stdout.write(
    flags.json ? `${JSON.stringify(recommendationJson(recommendation))}\n` : recommendationText(recommendation),
  );
}

interface SearchInput {
  readonly llm: LLM;
  readonly specs: readonly KvSpec[];
  readonly text: EvalText;
  readonly ctx: number;
  readonly maxChunks: number;
  readonly flags: RecommendFlags;
  readonly hasRecall: boolean;
  readonly progress: Progress;
  readonly context: CommandContext;
}

function search({
  llm,
  specs,
  text,
  ctx,
  maxChunks,
  flags,
  hasRecall,
  progress,
  context,
}: SearchInput): Promise<SearchResult> {
  const kinds = layerKindsOf(layoutOf(llm.config));
  const byText = new Map(specs.map((spec) => [spec.text, spec.forModel(kinds)]));
  const model = modelOfConfig(llm.config, llm.name);
  const common = { text: text.text, textSource: text.source, signal: context.signal };
  return findSmallest({
    gate: GATES[flags.gate],
    rungs: [...byText].map(([kv, spec]) => ({ kv, bytesPerToken: new CacheMemory(model, spec).bytesPerToken })),
    isAtLeast: (a, b) => isAtLeast(byText.get(a)!, byText.get(b)!, kinds.length),
    reference: TAIL_REFERENCE,
    maxChunks,
    evaluate: (kv, chunk) =>
      evaluate(llm, {
        ...common,
        kv,
        ctx,
        chunks: 1,
        skipChunks: chunk,
        onProgress: ({ done, total, unit }) =>
          progress.update(
            `chunk ${chunk + 1}/${maxChunks}, ${kv.join(", ")}`,
            done,
            total,
            `${done} of ${total} ${unit}`,
          ),
      }),
    recall: hasRecall
      ? async (kv) => {
          const [row] = await evaluate(llm, {
            ...common,
            kv: [kv],
            ctx: NEEDLE_CTX,
            chunks: 1,
            needle: flags.needle,
            onProgress: ({ done, total, unit }) =>
              progress.update(`recall, ${kv}`, done, total, `${done} of ${total} ${unit}`),
          });
          return { own: row!.needle!, base: row!.needleBase!, prompts: flags.needle };
        }
      : null,
  });
}

/** As a shell takes it for one word. */
const shellWord = (text: string): string => (/^[\w./:@~+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function describe(
  llm: LLM,
  result: SearchResult,
  settings: {
    readonly flags: RecommendFlags;
    readonly ctx: number;
    readonly maxChunks: number;
    readonly source: string;
    readonly hasRecall: boolean;
  },
): Recommendation {
  const { flags, ctx, maxChunks, source, hasRecall } = settings;
  const model = modelOfConfig(llm.config, llm.name);
  const kv = result.chosen ?? "f16";
  const context = flags.context ?? llm.config.maxPositionEmbeddings;
  const bytes = (spec: string): number => new CacheMemory(model, parseKvSpec(spec)).bytes(context);
  return {
    model: llm.name,
    gate: flags.gate,
    limits: GATES[flags.gate],
    kv: result.chosen,
    text: source,
    ctx,
    maxChunks,
    hasRecall,
    rungs: result.rungs,
    cost: { context, cacheBytes: bytes(kv), cacheBytesF16: bytes("f16") },
    command: `npx turboquant run --model ${shellWord(flags.model)} --kv ${kv}`,
  };
}
