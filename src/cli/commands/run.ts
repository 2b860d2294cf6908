/** @file `turboquant run [PROMPT]`: answers one prompt, token by token, and prints what it cost. */
import { type Command, Option } from "commander";
import type { GenerateOptions, GenerationResult } from "../../engine/generation.ts";
import type { LLM } from "../../engine/llm.ts";
import type { Session } from "../../engine/session.ts";
import { TurboQuantError } from "../../errors.ts";
import { type Agreement, agreementWithF16 } from "../../eval/agreement.ts";
import { allocatedBytes } from "../../eval/allocated-bytes.ts";
import { formatBytes, formatCount, significant } from "../../format-number.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { generateShifting } from "../context-shift.ts";
import { DEFAULT_PROMPT_NOTE } from "../default-prompt.ts";
import { comparedSize, formatPercent, formatRate, plainTable } from "../format.ts";
import { addGenerationOptions, type GenerationFlags, samplingOf } from "../generation-options.ts";
import { loadModel } from "../load-model.ts";
import {
  addBackendOptions,
  addCacheOptions,
  addModelOption,
  addOutputOptions,
  addThreadsOption,
  kvFromFlags,
  loadOptionsOf,
  type ModelFlags,
  wholeNumber,
} from "../options.ts";
import { type PromptFlags, readPrompt } from "../prompt-input.ts";
import { addRopeOptions, type RopeFlags, ropeOptionOf } from "../rope-flags.ts";
import {
  addSpeculationOptions,
  checkSpeculation,
  openSpeculation,
  type SpeculationFlags,
} from "../speculation-flags.ts";

interface RunFlags
  extends ModelFlags,
    RopeFlags,
    GenerationFlags,
    SpeculationFlags,
    Omit<PromptFlags, "quiet" | "json"> {
  readonly raw?: boolean;
  readonly system?: string;
  readonly compareF16?: boolean;
  readonly contextShift?: boolean;
  readonly keep: number;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Continues or answers one prompt on a compressed KV cache. The text goes to stdout as it is generated; " +
        "the figures follow it, on stderr when stdout is not a terminal.",
    )
    .argument(
      "[prompt...]",
      "the prompt; what a pipe brings stands behind it, or is it (default: a recall question over a short story)",
    );
  addModelOption(command);
  addRopeOptions(addCacheOptions(command));
  addGenerationOptions(command, 256)
    .option("-f, --file <path>", "read the prompt from a file; - is stdin")
    .addOption(new Option("-p, --prompt <text>", "the same as the argument").hideHelp())
    .option("--context-shift", "when the context is full, forget the older half of it and go on")
    .option("--keep <tokens>", "with --context-shift: tokens at the beginning that stay", wholeNumber(0), 0)
    .option("--raw", "continue the text as it stands, without the model's chat template")
    .option("--system <text>", "system message of the chat template")
    .option("--compare-f16", "feed the same tokens to an f16 cache as well and say how far the results agree");
  addSpeculationOptions(command);
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant run
  $ turboquant run "What is the capital of France?" --compare-f16
  $ turboquant run --raw "It was a dark night" -n 64 --temp 0.8 --seed 7
  $ turboquant run -f letter.txt --kv k3v3,window=0 --json
  $ cat letter.txt | turboquant run "Answer this letter:"`,
    )
    .action((words: string[], flags: RunFlags) => run(words, flags, context));
}

async function run(words: readonly string[], flags: RunFlags, context: CommandContext): Promise<void> {
  const { io, signal } = context;
  const { prompt, isDefault } = await readPrompt(words, flags, context);
  const progress = progressOf(context, flags);
  // What is wrong with these is said before anything is loaded.
  const speculation = checkSpeculation(flags);
  await using drafts = await openSpeculation(speculation, flags, context);
  await using llm = await loadModel(flags, context, progress, {
    ...loadOptionsOf({ ...flags, ...drafts.limits }),
    ...ropeOptionOf(flags),
  });
  // Notes go to stderr when stdout is not a terminal, so that they do not get into the piped answer.
  const notes = io.stdout.isTTY ? io.stdout : io.stderr;
  const isVerbose = !flags.quiet && !flags.json;
  if (isVerbose && isDefault) notes.write(`${DEFAULT_PROMPT_NOTE}\n\n`);

  const session = llm.createSession();
  try {
    const { result, tokens } = await generate(llm, session, prompt, drafts.options, flags, context, progress);
    if (!flags.json) io.stdout.write("\n");
    const wantsComparison = flags.compareF16 === true && result.finishReason !== "aborted";
    const agreement = wantsComparison
      ? await compare(llm, session, context, progress).catch((error: unknown) => {
          // After Ctrl-C the comparison is skipped, but the figures of the answer are printed.
          if (signal.aborted) return null;
          throw error;
        })
      : null;
    progress.clear();
    const kvBytes = session.kvBytes;
    const f16Bytes = agreement?.kvBytesF16 ?? allocatedBytes(llm.config, parseKvSpec("f16"), session.sequence.length);
    if (flags.json) {
      const kv = { kv: kvFromFlags(flags), kvBytes, kvBytesF16: f16Bytes, cachedTokens: session.sequence.length };
      const report = { model: llm.name, ...kv, ...result, tokens, agreement, backend: llm.ops.describe() };
      io.stdout.write(`${JSON.stringify(report)}\n`);
    } else if (isVerbose) {
      notes.write(`\n${summary(kvFromFlags(flags), result, kvBytes, f16Bytes, agreement)}`);
      const { contextLength } = llm.runner;
      if (result.finishReason === "length" && session.tokens.length > contextLength) {
        notes.write(
          `note: the context of ${formatCount(contextLength)} tokens is full; a larger --ctx has more, --context-shift goes on without its older half\n`,
        );
      }
    }
    if (signal.aborted) {
      io.stderr.write("interrupted\n");
      context.setExitCode(130);
    }
  } finally {
    session.release();
  }
}

async function generate(
  llm: LLM,
  session: Session,
  prompt: string,
  drafts: Pick<GenerateOptions, "speculate">,
  flags: RunFlags,
  { io, signal }: CommandContext,
  progress: ReturnType<typeof progressOf>,
): Promise<{ result: Omit<GenerationResult, "tokens">; tokens: number[] }> {
  const system = flags.system === undefined ? [] : [{ role: "system", content: flags.system }];
  const isChat = !flags.raw && llm.tokenizer.chatTemplate !== null;
  if (!isChat && system.length > 0) {
    throw new TurboQuantError(
      "invalid_argument",
      "run: --system needs the chat template; drop --raw, or put it into the prompt",
    );
  }
  const ids = isChat
    ? await llm.encodeChat([...system, { role: "user", content: prompt }])
    : llm.tokenizer.encode(prompt);
  let text = "";
  const tokens: number[] = [];
  const options = {
    ...samplingOf(flags),
    ...drafts,
    signal,
    onPrefill: (done: number, total: number) =>
      progress.onEvent({ phase: "prefill", item: "", done, total, unit: "tokens" }),
  };
  const { contextLength } = llm.runner;
  const { keep, maxNewTokens } = flags;
  const chunks = flags.contextShift
    ? generateShifting(session, ids, options, { contextLength, keep, maxNewTokens })
    : session.generate(ids, options);
  for await (const chunk of chunks) {
    progress.clear();
    text += chunk.text;
    if (chunk.token !== undefined) tokens.push(chunk.token);
    if (!flags.json) io.stdout.write(chunk.text);
    if (chunk.finishReason && chunk.usage && chunk.timings) {
      const { finishReason, usage, timings } = chunk;
      return { result: { text, finishReason, usage, timings }, tokens };
    }
  }
  throw new TurboQuantError("internal", "run: the generation ended without a last chunk");
}

function compare(llm: LLM, session: Session, { signal }: CommandContext, progress: ReturnType<typeof progressOf>) {
  return agreementWithF16(llm, session.tokens, {
    signal,
    onProgress: (done, total) => progress.update("comparing with f16", done, total, `${done} of ${total} tokens`),
  });
}

function summary(
  kv: string,
  { usage, timings }: Omit<GenerationResult, "tokens">,
  kvBytes: number,
  f16Bytes: number,
  agreement: Agreement | null,
): string {
  const compared = comparedSize(kvBytes, f16Bytes);
  const rows = [
    ["KV cache, f16", formatBytes(f16Bytes), `${formatCount(usage.promptTokens + usage.completionTokens)} tokens`],
    [
      `KV cache, ${kv}`,
      formatBytes(kvBytes),
      kvBytes > f16Bytes && !parseKvSpec(kv).isFloat
        ? `${compared}: a short text stays in the residual window`
        : compared,
    ],
    [
      "prefill",
      `${significant(timings.prefillTokPerSec)} tok/s`,
      `first token after ${significant(timings.ttftMs / 1000)} s`,
    ],
    [
      "decode",
      timings.decodeTokPerSec > 0 ? `${significant(timings.decodeTokPerSec)} tok/s` : "–",
      `${usage.completionTokens} tokens`,
    ],
  ];
  const { draftedTokens, acceptedTokens = 0 } = usage;
  if (draftedTokens !== undefined) {
    const share = draftedTokens > 0 ? formatPercent(acceptedTokens / draftedTokens) : "–";
    rows.push(["drafts that were right", share, `${acceptedTokens} of ${draftedTokens} tokens`]);
  }
  if (agreement) {
    const { top1, top1Low, top1High, kldMean, positions } = agreement;
    rows.push([
      "agreement with f16",
      formatRate(top1, top1Low, top1High),
      `same next token at ${formatCount(positions)} positions; mean KLD ${significant(kldMean)} nats`,
    ]);
  }
  return plainTable(rows, ["left", "right", "left"]);
}
