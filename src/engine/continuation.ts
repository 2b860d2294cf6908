/** @file One continuation of a prompt: draws its tokens, turns them into text, and decides when it ends. Counts usage and timings. */
import type { DeviceSample, Draw } from "../backends/sampling-ops.ts";
import type { DecodeStream, Tokenizer } from "../tokenizer/tokenizer.ts";
import type { GenerationChunk, PromptReport, Timings, Usage } from "./generation.ts";
import { LeastTokens } from "./least-tokens.ts";
import { notFinite } from "./logits.ts";
import { deviceDraw, type Sample, Sampler } from "./sampler.ts";
import type { SamplingConfig } from "./sampling-params.ts";
import type { DraftCounts } from "./speculation/speculator.ts";
import type { RowDraw } from "./step-loop/step-loop.ts";
import { StopMatcher } from "./stop-strings.ts";

/** A piece of output with its token, and why the continuation ended, if it did. */
export interface TakenToken {
  readonly chunk: GenerationChunk & { readonly token: number };
  readonly finishReason: "stop" | "length" | null;
}

/** What a continuation needs of its model. */
export interface ContinuationModel {
  readonly tokenizer: Tokenizer;
  readonly eosTokens: ReadonlySet<number>;
  readonly runner: { readonly contextLength: number };
}

/** The config with a constraint that keeps the answer from ending too soon. */
function withLeast(config: SamplingConfig, eosTokens: ReadonlySet<number>): SamplingConfig {
  const { constraint, stopTokens, ignoreEos } = config;
  const minNewTokens = Math.max(0, config.minNewTokens - config.drawnBefore.length);
  const ends = [...(ignoreEos ? [] : eosTokens), ...stopTokens];
  return { ...config, constraint: new LeastTokens(minNewTokens, ends, constraint) };
}

export class Continuation implements RowDraw {
  readonly draw: Draw | null;
  readonly #model: ContinuationModel;
  readonly #config: SamplingConfig;
  readonly #text: DecodeStream;
  readonly #stops: StopMatcher;
  readonly #sampler: Sampler;
  #completionTokens = 0;
  #firstAt = 0;
  #lastAt = 0;

  constructor(model: ContinuationModel, options: SamplingConfig) {
    const config = options.minNewTokens > 0 ? withLeast(options, model.eosTokens) : options;
    this.draw = deviceDraw(config);
    this.#model = model;
    this.#config = config;
    this.#text = model.tokenizer.createStream({ skipSpecialTokens: config.skipSpecialTokens });
    this.#stops = new StopMatcher(config.stop);
    this.#sampler = new Sampler(config);
  }

  /** Number of tokens drawn so far. */
  get completionTokens(): number {
    return this.#completionTokens;
  }

  /** When the first token was drawn, by `performance.now()`; 0 before. */
  get firstAt(): number {
    return this.#firstAt;
  }

  /** When the last token was drawn; 0 before the first. */
  get lastAt(): number {
    return this.#lastAt;
  }

  uniform(n: number): number {
    return this.#sampler.uniform(n);
  }

  /**
   * Draws the next token, or takes the one that the device drew, and appends it to `tokens`.
   *
   * tokens: prompt and output so far · logits: [vocabSize], not read when there is a sample
   * @throws TurboQuantError invalid_file — logits that are not finite; invalid_argument — a constraint that allows no token
   */
  next(tokens: number[], logits: Float32Array, sample: DeviceSample | null = null): TakenToken {
    if (sample?.notFinite) throw notFinite(sample.notFinite.token, sample.notFinite.value);
    const drawn = sample
      ? { token: sample.token, ...(this.#config.wantsLogprob && { logprob: sample.logprob }) }
      : this.#sampler.sample(logits, tokens);
    tokens.push(drawn.token);
    this.#config.constraint?.advance(drawn.token);
    this.#lastAt = performance.now();
    this.#firstAt ||= this.#lastAt;
    return this.#take(drawn, tokens.length);
  }

  /**
   * The text that became certain with this token.
   *
   * length: number of tokens of prompt and output, this one included
   */
  #take({ token, logprob, top }: Sample, length: number): TakenToken {
    this.#completionTokens++;
    const { tokenizer, eosTokens } = this.#model;
    const { ignoreEos, stopTokens } = this.#config;
    const isEnd = (!ignoreEos && eosTokens.has(token)) || stopTokens.includes(token);
    const { text, stopped } = this.#stops.push(isEnd ? "" : this.#text.push(token));
    const piece = {
      token,
      ...(logprob !== undefined && { logprob }),
      ...(top && { topLogprobs: top.map((t) => ({ ...t, text: tokenizer.decode([t.token]) })) }),
    };
    if (!isEnd && !stopped && this.left(length) > 0) return { chunk: { text, ...piece }, finishReason: null };
    const rest = stopped ? "" : this.flush();
    const { found } = this.#stops;
    const chunk = { text: text + rest, ...piece, ...(stopped && found !== null && { stop: found }) };
    return { chunk, finishReason: isEnd || stopped ? "stop" : "length" };
  }

  /** How many more tokens may follow `length` tokens. The last one is not fed to the model, so it needs no place in the context. */
  left(length: number): number {
    return Math.min(this.#config.maxNewTokens - this.#completionTokens, this.#model.runner.contextLength + 1 - length);
  }

  /** Usage and timings for the last piece, the same for sessions and requests. drafts: null where nothing was to be drafted */
  figures(
    prompt: PromptReport,
    drafts: DraftCounts | null = null,
  ): { readonly usage: Usage; readonly timings: Timings } {
    const { promptTokens, cachedTokens, rereadTokens, fedTokens, submittedAt, startedAt } = prompt;
    const completionTokens = this.#completionTokens;
    const firstAt = this.#firstAt || performance.now();
    const prefillMs = firstAt - (startedAt || submittedAt);
    const decodeMs = this.#lastAt - this.#firstAt;
    return {
      usage: {
        promptTokens,
        cachedTokens,
        completionTokens,
        ...(rereadTokens > 0 && { rereadTokens }),
        ...(drafts && { draftedTokens: drafts.drafted, acceptedTokens: drafts.accepted }),
      },
      timings: {
        ttftMs: firstAt - submittedAt,
        prefillMs,
        decodeMs,
        prefillTokPerSec: prefillMs > 0 ? (fedTokens * 1000) / prefillMs : 0,
        decodeTokPerSec: decodeMs > 0 ? ((completionTokens - 1) * 1000) / decodeMs : 0,
      },
    };
  }

  /** Frees the constraint, which is this continuation's own, once no more tokens are drawn. */
  release(): void {
    this.#config.constraint?.release?.();
  }

  /** The text that is still held back, for a continuation that is stopped early. */
  flush(): string {
    return this.#stops.push(this.#text.end()).text + this.#stops.end();
  }
}
