/** @file One conversation with its cache: generates, forks, rewinds, saves. */
import type { Sequence } from "../cache/sequence.ts";
import { type SnapshotIdentity, saveSequence } from "../cache/snapshot.ts";
import { TurboQuantError } from "../errors.ts";
import type { ChatMessage } from "../tokenizer/chat-template.ts";
import { Continuation, type ContinuationModel } from "./continuation.ts";
import {
  type FinishReason,
  GENERATE_ONLY,
  type GenerateOptions,
  type GenerationChunk,
  type PromptReport,
  type RunOptions,
} from "./generation.ts";
import type { Runner } from "./runner.ts";
import { parseSamplingConfig, type SamplingParams } from "./sampling-params.ts";
import type { DraftSource } from "./speculation/draft-source.ts";
import type { DraftedRows, DrawnRow } from "./speculation/drafted-rows.ts";
import { parseSpeculation, type Speculation } from "./speculation/speculation-options.ts";
import { StepLoop } from "./step-loop/step-loop.ts";
import { yieldNow } from "./yield-now.ts";

/** What a session needs of its model, which is an `LLM`. */
export interface SessionModel extends ContinuationModel {
  readonly runner: Runner;
  readonly samplingDefaults: Partial<SamplingParams>;
  readonly snapshotIdentity: SnapshotIdentity;
  /** Token ids of a conversation up to the place where the assistant's answer begins. */
  encodeChat(messages: readonly ChatMessage[]): Promise<number[]>;
  /** The options with a constraint in place of a schema or a grammar. */
  bind(options: GenerateOptions): Promise<RunOptions>;
}

export class Session {
  readonly #model: SessionModel;
  readonly #sequence: Sequence;
  /** All tokens of the conversation; the cache may lack the last sampled one. */
  readonly #tokens: number[];
  #busy = false;
  /** Whether ends of prompts are marked. Only sessions that were rewound once pay memory for that. */
  #goesBack = false;
  /** What a draft model has read of this conversation. */
  #drafting: { readonly model: object; readonly source: DraftSource } | null = null;
  /** Number of tokens that the last rewind removed from the cache although they are part of the conversation. */
  #rereadTokens = 0;

  constructor(model: SessionModel, sequence: Sequence, tokens: readonly number[] = []) {
    this.#model = model;
    this.#sequence = sequence;
    this.#tokens = [...tokens];
  }

  /** Prompt and output so far. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /** Allocated bytes of KV pages; pages shared with forks count in full. */
  get kvBytes(): number {
    return this.#sequence.numBytes;
  }

  get sequence(): Sequence {
    return this.#sequence;
  }

  /**
   * Appends `prompt` (text or token ids) and continues it. When the loop
   * is left or aborted, the session stays usable with the tokens so far.
   */
  async *generate(
    prompt: string | ArrayLike<number>,
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerationChunk, void> {
    const { signal, onPrefill } = options;
    const bound = await this.#model.bind(options);
    const config = parseSamplingConfig(bound, this.#model.samplingDefaults, GENERATE_ONLY);
    const { runner } = this.#model;
    const speculation = parseSpeculation(options.speculate, {
      ops: runner.decoder.ops,
      config: runner.decoder.config,
      tokenizer: this.#model.tokenizer,
      cache: this.#sequence.cache,
    });
    const ids = typeof prompt === "string" ? this.#model.tokenizer.encode(prompt) : prompt;
    if (this.#tokens.length + ids.length === 0) {
      throw new TurboQuantError("invalid_argument", "generate: the prompt is empty; pass at least one token");
    }
    if (this.#busy) {
      throw new TurboQuantError(
        "invalid_argument",
        "generate: this session is generating; fork it or wait for the end",
      );
    }
    const speculator = speculation?.createSpeculator(this.#sourceOf(speculation)) ?? null;
    this.#busy = true;
    const submittedAt = performance.now();
    const rereadTokens = this.#rereadTokens;
    this.#rereadTokens = 0;
    const before = this.#tokens.length;
    for (let i = 0; i < ids.length; i++) this.#tokens.push(ids[i]!);
    const report: PromptReport = {
      promptTokens: ids.length,
      cachedTokens: this.#sequence.length,
      rereadTokens,
      fedTokens: this.#tokens.length - this.#sequence.length,
      submittedAt,
      startedAt: submittedAt,
    };
    const continuation = new Continuation(this.#model, config);
    const finish = (finishReason: FinishReason): Omit<GenerationChunk, "text"> => ({
      finishReason,
      ...continuation.figures(report, speculator),
    });
    const row = { tokens: this.#tokens, sequence: this.#sequence, continuation };
    const loop = new StepLoop(runner);
    try {
      const logits = await loop
        .prefill(row, {
          signal,
          onProgress: onPrefill,
          markAt: this.#goesBack ? this.#sequence.markable(this.#tokens.length - 1) : undefined,
        })
        .catch((error: unknown) => {
          // The prompt was not read completely, so the tokens that the cache does not hold are removed.
          this.#tokens.length = Math.max(Math.min(before, this.#tokens.length), this.#sequence.length);
          throw error;
        });
      const isAhead = loop.drawsOnDevice(row);
      let taken = continuation.next(this.#tokens, logits);
      let drafted: DraftedRows | null = null;
      for (;;) {
        const { chunk, finishReason } = taken;
        if (finishReason) {
          loop.close();
          yield { ...chunk, ...finish(finishReason) };
          return;
        }
        yield chunk;
        // Waiting for a device lets timers and signals run anyway.
        if (!isAhead) await yieldNow();
        if (signal?.aborted) {
          yield { text: continuation.flush(), ...finish("aborted") };
          return;
        }
        const followed: DrawnRow | null = drafted?.follow(chunk.token) ?? null;
        if (followed) {
          speculator?.onAccepted();
          taken = continuation.next(this.#tokens, followed.logits, followed.sample);
          continue;
        }
        const drafts = loop.takesDrafts
          ? await speculator?.propose(this.#tokens, continuation, (count) => this.#isRoom(count))
          : undefined;
        const span = { row, count: 1, logits: "last", ...(drafts && { drafts }) } as const;
        const [outcome] = await (loop.ahead.length > 0 ? loop.next(true) : loop.step([span]));
        drafted = outcome!.drafted;
        speculator?.onDrafted(drafted?.tokens.length ?? 0);
        taken = continuation.next(this.#tokens, outcome!.logits, outcome!.sample);
      }
    } finally {
      loop.close();
      // A draft model's cache is kept for the next answer.
      if (!speculation?.model) speculator?.release();
      this.#busy = false;
      // A constraint that the caller gave stays the caller's.
      if (bound !== options) continuation.release();
    }
  }

  /** A draft model goes on from what it has read; other sources are new ones. */
  #sourceOf({ model, createSource }: Speculation): DraftSource {
    if (!model) return createSource();
    if (this.#drafting?.model !== model) {
      this.#drafting?.source.release();
      this.#drafting = { model, source: createSource() };
    }
    return this.#drafting.source;
  }

  /** Whether pages for so many more tokens are free without making others coarser. */
  #isRoom(count: number): boolean {
    const { pool } = this.#sequence.cache;
    return pool.numBytes + this.#sequence.bytesToReserve(count) <= pool.budgetBytes;
  }

  /** Renders `messages` with the model's chat template, reuses the part that the cache holds already, and answers. */
  async *chat(messages: readonly ChatMessage[], options: GenerateOptions = {}): AsyncGenerator<GenerationChunk, void> {
    const ids = await this.#model.encodeChat(messages);
    const shared = this.rewindTo(ids);
    yield* this.generate(ids.slice(shared), options);
  }

  /**
   * Cuts the session back to the longest common prefix with `ids`, without the last token, whose logits are needed. The result
   * equals a fresh session: where the residual window is gone, the cut goes back further and the next `generate` reads those
   * tokens again (`usage.rereadTokens`), and all of them where ropes depend on the length and that of `ids` has others. From the first call on, the ends of the last two prompts are marked, so that answering
   * again reads nothing twice.
   * returns: number of tokens kept
   */
  rewindTo(ids: ArrayLike<number>): number {
    this.#goesBack = true;
    let shared = 0;
    const limit = Math.min(this.#sequence.length, ids.length - 1);
    while (shared < limit && this.#tokens[shared] === ids[shared]) shared++;
    const { ropeLength } = this.#sequence;
    // Tokens that were read with the ropes of another length are not those of a fresh session.
    const isAlike = ropeLength === this.#model.runner.decoder.ropeLength(ids.length);
    this.#rereadTokens = shared - this.#sequence.cutTo(isAlike ? shared : 0);
    this.#tokens.length = shared;
    return shared;
  }

  /** A second session with the same history; cache pages are shared until one of them writes. */
  fork(): Session {
    return new Session(this.#model, this.#sequence.fork(), this.#tokens);
  }

  /** Cache and tokens as one file, which `LLM.restore` reads. */
  save(): Promise<Uint8Array> {
    return saveSequence(this.#sequence, {
      ...this.#model.snapshotIdentity,
      tokens: this.#tokens,
    });
  }

  /** Releases the pages. */
  release(): void {
    this.#drafting?.source.release();
    this.#drafting = null;
    this.#sequence.release();
  }
}
