/**
 * @file A second, smaller model drafts: it reads what the large one reads and says how it would go on.
 *
 * Its own steps run on positions that are reserved and not committed, as steps ahead do. What the answer became is committed when the next
 * draft is asked for, and the rest is dropped. So within an answer its cache is never cut back; it is where a session goes back to an earlier
 * place, or on from other tokens.
 *
 * It draws as the answer is drawn, with the same random numbers. Where the two models agree on the distribution they draw the same token, and an
 * answer at a temperature has as many right drafts as their distributions overlap; a draft of likeliest tokens would have fewer.
 */
import type { KvCache } from "../../cache/kv-cache.ts";
import type { Sequence } from "../../cache/sequence.ts";
import { TurboQuantError } from "../../errors.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { argmax } from "../logits.ts";
import type { Runner } from "../runner.ts";
import { drawToken } from "../sampler.ts";
import type { RowDraw } from "../step-loop/step-loop.ts";
import type { DraftSource } from "./draft-source.ts";

/** What is asked of a model that drafts, which is an `LLM`. */
export interface DraftingModel {
  readonly name: string;
  readonly tokenizer: Tokenizer;
  readonly runner: Runner;
  readonly cache: KvCache;
}

export class DraftModel implements DraftSource {
  readonly #runner: Runner;
  readonly #sequence: Sequence;
  /** Tokens whose rows are in the sequence, and behind them those on reserved positions. */
  #fed: number[] = [];
  #isReleased = false;

  constructor({ runner, cache }: Pick<DraftingModel, "runner" | "cache">) {
    this.#runner = runner;
    this.#sequence = cache.createSequence();
  }

  async propose(tokens: readonly number[], most: number, draw: RowDraw): Promise<readonly number[]> {
    const drafts: number[] = [];
    try {
      this.#keep(tokens);
      const { contextLength } = this.#runner;
      if (tokens.length > contextLength) return [];
      if (!(await this.#read(tokens))) return [];
      let next = tokens.at(-1)!;
      while (drafts.length < most && tokens.length + drafts.length <= contextLength) {
        if (this.#isReleased) return [];
        next = await this.#draft(next, drafts.length, draw);
        drafts.push(next);
      }
    } catch (error) {
      // What it has no room for is not drafted.
      if (!(error instanceof TurboQuantError && error.code === "out_of_memory")) throw error;
    }
    return drafts;
  }

  release(): void {
    this.#isReleased = true;
    this.#sequence.release();
  }

  /** Commits the rows on reserved positions that became part of the answer, and drops what did not. */
  #keep(tokens: readonly number[]): void {
    const sequence = this.#sequence;
    let same = 0;
    // The last token is read again, because its row gives the logits of the first draft.
    const limit = Math.min(this.#fed.length, tokens.length - 1);
    while (same < limit && this.#fed[same] === tokens[same]) same++;
    const { decoder } = this.#runner;
    while (sequence.length < same) sequence.commit(1, decoder.ropeLength(sequence.length + 1));
    sequence.dropReserved();
    if (sequence.length > same) sequence.cutTo(same);
    this.#fed = tokens.slice(0, sequence.length);
  }

  /**
   * Reads what the answer's model has read, but for the last token, and no more than a chunk of it, so that a long prompt holds nobody up.
   * returns: whether it has come to the end
   */
  async #read(tokens: readonly number[]): Promise<boolean> {
    const from = this.#sequence.length;
    const to = Math.min(tokens.length - 1, from + this.#runner.chunkTokens);
    const pending = tokens.slice(from, to);
    // Ropes that depend on the length are those of the whole prompt.
    const knownLength = tokens.length - 1;
    if (pending.length > 0) await this.#runner.prefill(this.#sequence, pending, { logits: "none", knownLength });
    this.#fed = tokens.slice(0, to);
    return to === tokens.length - 1;
  }

  /** The token behind `token`, which is fed to the n-th position behind the sequence. */
  async #draft(token: number, n: number, row: RowDraw): Promise<number> {
    const sequence = this.#sequence;
    const { decoder } = this.#runner;
    const start = sequence.length + n;
    sequence.reserve(n + 1);
    const logits = await decoder.forward({
      tokens: Int32Array.of(token),
      positions: Int32Array.of(start),
      spans: [{ sequence, start, count: 1, row: 0 }],
      logitRows: Int32Array.of(0),
    });
    this.#fed.push(token);
    const best = argmax(logits);
    const { draw } = row;
    if (!draw || draw.temperature === 0) return best;
    return drawToken(logits, logits[best]!, draw, row.uniform(row.completionTokens + n));
  }
}

/** Pairs of vocabularies that were found the same, so that they are compared once. */
const alike = new WeakMap<Tokenizer, WeakSet<Tokenizer>>();

/** @throws TurboQuantError invalid_argument — another vocabulary; names the first token that differs */
export function checkSameVocabulary(target: Tokenizer, draft: DraftingModel): void {
  const { tokenizer, name } = draft;
  if (tokenizer === target || alike.get(target)?.has(tokenizer)) return;
  const refused = (why: string): TurboQuantError =>
    new TurboQuantError(
      "invalid_argument",
      `speculate: draft model ${name} has another vocabulary: ${why}; take a smaller model of the same family, or prompt-lookup`,
      { draft: name },
    );
  if (tokenizer.vocabSize !== target.vocabSize) {
    throw refused(`expected ${target.vocabSize} tokens, got ${tokenizer.vocabSize}`);
  }
  for (let id = 0; id < target.vocabSize; id++) {
    const [own, other] = [target.tokenBytes(id), tokenizer.tokenBytes(id)];
    const isSame =
      own.length === other.length &&
      own.every((byte, i) => byte === other[i]) &&
      target.isSpecial(id) === tokenizer.isSpecial(id);
    if (isSame) continue;
    const [want, got] = [target, tokenizer].map((each) => JSON.stringify(each.decode([id])));
    throw refused(`token ${id} is ${got}, expected ${want}`);
  }
  const known = alike.get(target) ?? new WeakSet();
  alike.set(target, known.add(tokenizer));
}
