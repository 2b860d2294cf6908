/** @file The text of an evaluation: the user's file, or one that the model writes itself. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import type { LLM } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";
import { type EntryStore, ExactCache } from "../../eval/exact-cache.ts";
import { writeSelfText } from "../../eval/self-text.ts";
import { formatCount } from "../../format-number.ts";
import type { CommandContext } from "../context.ts";
import { wholeNumber } from "../options.ts";
import type { Progress } from "../progress.ts";
import { reasonOf } from "../system-error.ts";

export interface TextFlags {
  readonly text?: string;
  readonly textSeed: number;
  readonly quiet?: boolean;
}

export interface EvalText {
  readonly text: string;
  /** Description of the text for rows and tables. */
  readonly source: string;
}

/** Adds `--text` and `--text-seed`. */
export function addTextOptions(
  command: Command,
  what = "plain text the model has not been trained on (default: a text it writes itself)",
): Command {
  return command
    .option("--text <file>", what)
    .option("--text-seed <n>", "seed of the text that the model writes without --text", wholeNumber(0, 2 ** 32 - 1), 0);
}

/** Reads `--text`; null without it. Called before the model is loaded, so that a wrong path is reported early. */
export async function readTextFile(path: string | undefined): Promise<EvalText | null> {
  if (path === undefined) return null;
  try {
    return { text: await readFile(path, "utf8"), source: basename(path) };
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_argument",
      `--text ${path}: cannot be read: ${reasonOf(cause)}; expected a file of plain text (UTF-8), so check the path, or leave --text out`,
      {},
      { cause },
    );
  }
}

/** Who hears how far the writing of a text is. */
export type WritingProgress = Pick<Progress, "onEvent" | "clear">;

/** The text that was read, or else at least `tokens` tokens that the model writes. store: keeps what it wrote */
export async function textOrOwn(
  read: EvalText | null,
  llm: LLM,
  tokens: number,
  flags: TextFlags,
  context: CommandContext,
  progress: WritingProgress,
  store: EntryStore | null = null,
): Promise<EvalText> {
  if (read) return read;
  const seed = flags.textSeed;
  const write = () => writeSelfText(llm, { tokens, seed, signal: context.signal, onProgress: progress.onEvent });
  const text = store ? await new ExactCache(store, llm, "f16").result("text", { tokens, seed }, write) : await write();
  progress.clear();
  if (!flags.quiet) {
    context.io.stderr.write(
      `note: no --text; the model wrote ${formatCount(tokens)} tokens itself (seed ${seed}), on which perplexity says little about the model\n`,
    );
  }
  return { text, source: `written by the model, seed ${seed}` };
}

/** The text of an evaluation chunk by chunk, so that no more of it has to be there than is read. */
export interface ChunkTexts {
  readonly source: string;
  /** The most chunks. */
  readonly count: number;
  /** Tokens of the text as far as it is known. */
  readonly tokens: number;
  /** A text of which chunk `skipChunks` is the one that is meant. */
  chunk(index: number): Promise<{ readonly text: string; readonly skipChunks: number }>;
}

/** Seeds of the texts of two chunks are so far apart that none of their streams are equal. */
const SEEDS_A_CHUNK = 1000;

/**
 * Up to `flags.chunks` chunks of `ctx` tokens: of the text that was read, or of texts that the model writes when they are asked for.
 * progressOf: who hears of the writing of the text of a chunk · store: keeps what it wrote
 */
export function chunkTexts(
  read: EvalText | null,
  llm: LLM,
  ctx: number,
  flags: TextFlags & { readonly chunks: number },
  context: CommandContext,
  progressOf: (chunk: number) => WritingProgress,
  store: EntryStore | null,
): ChunkTexts {
  const { chunks, textSeed } = flags;
  if (read) {
    const { text, tokens } = beginning(read.text, llm, chunks * ctx);
    return {
      source: read.source,
      count: Math.floor(tokens / ctx),
      tokens,
      chunk: async (skipChunks) => ({ text, skipChunks }),
    };
  }
  if (!flags.quiet) {
    context.io.stderr.write(
      `note: no --text; the model writes one itself, chunk by chunk (seed ${textSeed}), on which perplexity says little about the model\n`,
    );
  }
  const own = async (index: number): Promise<string> => {
    const seed = textSeed + SEEDS_A_CHUNK * index;
    const quiet = { ...flags, textSeed: seed, quiet: true };
    return (await textOrOwn(null, llm, ctx, quiet, context, progressOf(index), store)).text;
  };
  return {
    source: `texts written by the model, seed ${textSeed}`,
    count: chunks,
    tokens: chunks * ctx,
    chunk: async (index) => ({ text: await own(index), skipChunks: 0 }),
  };
}

/** As much of a text as has `wanted` tokens, so that a novel is not tokenized for every chunk; the whole text if it has fewer. */
function beginning(text: string, { tokenizer }: LLM, wanted: number): { text: string; tokens: number } {
  const count = (part: string): number => tokenizer.encode(part, { addSpecialTokens: false }).length;
  for (let length = wanted * CHARS_A_TOKEN; length < text.length; length *= 2) {
    const part = text.slice(0, text.indexOf("\n", length) + 1 || text.length);
    const tokens = count(part);
    if (tokens >= wanted) return { text: part, tokens };
  }
  return { text, tokens: count(text) };
}

/** About as many as English texts have. */
const CHARS_A_TOKEN = 5;
