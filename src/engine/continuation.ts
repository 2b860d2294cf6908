/** @file What follows the logits of one stream: a token is drawn, becomes text, and may end the stream. */
import type { DecodeStream } from "../tokenizer/tokenizer.ts";
import type { GenerationChunk } from "./generation.ts";
import type { LLM } from "./llm.ts";
import { type Sample, Sampler } from "./sampler.ts";
import type { SamplingParams } from "./sampling-params.ts";
import { StopMatcher } from "./stop-strings.ts";

/** A chunk with its token, and how the stream ended if it did. */
export interface TakenToken {
  readonly chunk: GenerationChunk & { readonly token: number };
  readonly finishReason: "stop" | "length" | null;
}

export class Continuation {
  readonly params: SamplingParams;
  readonly #llm: LLM;
  readonly #ignoreEos: boolean;
  readonly #text: DecodeStream;
  readonly #stops: StopMatcher;
  readonly sampler: Sampler;
  #completionTokens = 0;

  constructor(llm: LLM, params: SamplingParams, ignoreEos: boolean, wantsLogprob = true) {
    this.params = params;
    this.#llm = llm;
    this.#ignoreEos = ignoreEos;
    this.#text = llm.tokenizer.createStream();
    this.#stops = new StopMatcher(params.stop);
    this.sampler = new Sampler(params, wantsLogprob);
  }

  /** Tokens taken so far. */
  get completionTokens(): number {
    return this.#completionTokens;
  }

  /**
   * The text that a sampled token makes certain.
   *
   * length: tokens of the stream, prompt and this one included
   */
  take({ token, logprob, top }: Sample, length: number): TakenToken {
    this.#completionTokens++;
    const { tokenizer, eosTokens } = this.#llm;
    const isEnd = !this.#ignoreEos && eosTokens.has(token);
    const { text, stopped } = this.#stops.push(isEnd ? "" : this.#text.push(token));
    const piece = {
      token,
      ...(logprob !== undefined && { logprob }),
      ...(top && { topLogprobs: top.map((t) => ({ ...t, text: tokenizer.decode([t.token]) })) }),
    };
    if (!isEnd && !stopped && this.left(length) > 0) return { chunk: { text, ...piece }, finishReason: null };
    const rest = stopped ? "" : this.flush();
    return { chunk: { text: text + rest, ...piece }, finishReason: isEnd || stopped ? "stop" : "length" };
  }

  /** Tokens that may follow a stream of `length` tokens; the last one need not fit the context. */
  left(length: number): number {
    return Math.min(this.params.maxNewTokens - this.#completionTokens, this.#llm.runner.contextLength + 1 - length);
  }

  /** Text that is still held back when a stream breaks off. */
  flush(): string {
    return this.#stops.push(this.#text.end()).text + this.#stops.end();
  }
}
