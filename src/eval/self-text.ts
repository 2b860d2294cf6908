/** @file Text that the model writes itself, for users who have none at hand: sampled from the exact cache with a fixed seed. */
import { generateBatch } from "../engine/batch.ts";
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import type { OnProgress } from "../platform.ts";

export interface SelfTextOptions {
  /** The least number of tokens of the text, counted after tokenizing it again. */
  readonly tokens: number;
  /** Equal seeds give equal texts. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

/** Number of pieces written at once; more would only make the cache larger. */
const STREAMS = 8;
/** Tokens of a piece: enough to be about something, and few enough not to become repetitive. */
const [MIN_PIECE, MAX_PIECE] = [64, 512];
/** Rounds without any text after which to give up, for a model that writes only special tokens. */
const MAX_EMPTY_ROUNDS = 3;

/**
 * Samples at temperature 1 from the model's whole distribution, from the beginning of a document, several pieces one after the
 * other. The cache of `llm` should be an exact one. The perplexity of such a text is low and says nothing about the model, but
 * differences between cache formats still show.
 * @throws TurboQuantError invalid_argument — the model writes nothing but special tokens
 */
export async function writeSelfText(llm: LLM, options: SelfTextOptions): Promise<string> {
  const { tokens, seed = 0, signal, onProgress } = options;
  const start = beginningOfDocument(llm);
  const pieces: string[] = [];
  let written = 0;
  let shown = 0;
  const show = (count: number): void => {
    // Tokenized again, a text may have fewer tokens than were sampled: that is no step back.
    shown = Math.max(shown, Math.min(count, tokens));
    onProgress?.({ phase: "eval", item: "writing a text", done: shown, total: tokens, unit: "tokens" });
  };
  for (let round = 0; written < tokens; round++) {
    // Tokenized again, the text may have a few tokens fewer than were sampled.
    const share = Math.ceil((1.05 * (tokens - written)) / STREAMS);
    let sampled = 0;
    const results = await generateBatch(llm, [start], {
      onToken: () => {
        if (++sampled % STREAMS === 0) show(written + sampled);
      },
      n: STREAMS,
      // The streams of a round get consecutive seeds.
      seed: seed + round * STREAMS,
      maxNewTokens: Math.min(Math.max(MIN_PIECE, share), MAX_PIECE, llm.runner.contextLength - 1),
      ignoreEos: true,
      temperature: 1,
      topK: 0,
      topP: 1,
      minP: 0,
      repetitionPenalty: 1,
      ...(signal && { signal }),
    });
    pieces.push(...results.map(({ text }) => text.trim()).filter((text) => text !== ""));
    written = llm.tokenizer.encode(pieces.join("\n\n"), { addSpecialTokens: false }).length;
    show(written);
    if (written === 0 && round + 1 >= MAX_EMPTY_ROUNDS) {
      throw new TurboQuantError("invalid_argument", "eval: the model writes no text by itself; pass one with --text");
    }
  }
  return pieces.join("\n\n");
}

/** The tokens that begin a document: the tokenizer's or the config's first token, or else a line break. */
function beginningOfDocument(llm: LLM): number[] {
  const [first] = llm.tokenizer.encode("", { addSpecialTokens: true });
  if (first !== undefined) return [first];
  return llm.config.bosTokenId !== null ? [llm.config.bosTokenId] : llm.tokenizer.encode("\n");
}
