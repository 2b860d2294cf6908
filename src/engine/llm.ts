/** @file The engine's entry point: a model with tokenizer and cache, which generates and answers chats (loaded by load-llm.ts). */
import type { Ops } from "../backends/ops.ts";
import type { Draw } from "../backends/sampling-ops.ts";
import type { KvCache } from "../cache/kv-cache.ts";
import { restoreSequence, type SnapshotIdentity } from "../cache/snapshot.ts";
import { TurboQuantError } from "../errors.ts";
import type { FileSource } from "../formats/file-source.ts";
import { openCheckpoint } from "../formats/open-checkpoint.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import { calibratedShape, calibrationTag, hasCalibration, readCalibration } from "../models/calibration-file.ts";
import type { ModelConfig } from "../models/config.ts";
import type { Decoder } from "../models/decoder.ts";
import type { OnProgress } from "../platform.ts";
import { type KvSpec, parseKvSpec } from "../quant/parse-kv-spec.ts";
import type { ChatMessage } from "../tokenizer/chat-template.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { calibrationChoice, wantsCalibration } from "./calibration/calibration-wish.ts";
import { type MakeCalibrationOptions, makeCalibration } from "./calibration/make-calibration.ts";
import { checkBudget, checkBudgetGiven } from "./coarsening.ts";
import { expectPages } from "./expect-pages.ts";
import type { GenerateOptions, GenerationChunk, RunOptions } from "./generation.ts";
import type { Grammars } from "./grammar/grammars.ts";
import { loadLlm, type OwnFields, type SharedFields } from "./load-llm.ts";
import type { LoadOptions } from "./load-options.ts";
import { Runner } from "./runner.ts";
import { parseSamplingConfig, type SamplingParams } from "./sampling-params.ts";
import { Session } from "./session.ts";

const GREEDY: Draw = { temperature: 0, topK: 0, topP: 1, minP: 0 };
/** The sampling kernels depend only on whether top-k is used and, slightly, on k, so one such config stands for all. */
const DRAWN: Draw = { ...GREEDY, temperature: 1, topK: 40 };
/** Sampling configs whose kernels are compiled during loading. */
export const WARM_UP_DRAWS: readonly Draw[] = [GREEDY, DRAWN];

export class LLM {
  /** The model's name for people (`Checkpoint.modelName`), never a path. */
  readonly name: string;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly decoder: Decoder;
  readonly runner: Runner;
  readonly cache: KvCache;
  /** Identifies the weights and the calibration of this format; snapshots with another fingerprint are refused. */
  readonly fingerprint: string;
  /** Identifies the weights alone, without the calibration of this format. */
  readonly weightsFingerprint: string;
  /** See `Checkpoint.stem`. */
  readonly stem: string | null;
  readonly eosTokens: ReadonlySet<number>;
  /** What `--backend auto` chose and why; undefined when a backend was named. */
  readonly backendChoice: string | undefined;
  /** Decisions that the user may not expect: a context shortened to fit the memory, or a GPU that `auto` did not choose. */
  readonly notes: readonly string[];
  /** Sampling defaults of the model's generation_config.json. */
  readonly samplingDefaults: Partial<SamplingParams>;
  /** Opens the checkpoint's files again, for the caller to close. */
  readonly reopen: () => Promise<FileSource>;
  /** Makes constraints of schemas and grammars; its engine is loaded when it is first asked. */
  readonly grammars: Grammars;
  readonly #shared: SharedFields;
  readonly #isView: boolean;
  #disposed = false;

  private constructor(shared: SharedFields, own: OwnFields) {
    this.#shared = shared;
    this.name = shared.name;
    this.config = shared.config;
    this.tokenizer = shared.tokenizer;
    this.eosTokens = shared.eosTokens;
    this.samplingDefaults = shared.samplingDefaults;
    this.weightsFingerprint = shared.weightsFingerprint;
    this.stem = shared.stem;
    this.backendChoice = shared.backendChoice;
    this.notes = shared.notes;
    this.reopen = shared.reopen;
    this.grammars = shared.grammars;
    this.#isView = own.isView;
    this.decoder = own.decoder;
    this.fingerprint = shared.weightsFingerprint + calibrationTag(own.calibration) + shared.ropeTag;
    this.runner = new Runner(own.decoder, { contextLength: own.contextLength });
    this.cache = own.decoder.createCache(own.kvBudgetBytes);
    checkBudget(this.cache);
    expectPages(this.cache, own.contextLength, this.runner.chunkTokens);
  }

  get ops(): Ops {
    return this.decoder.ops;
  }

  /**
   * Identifies the weights as `weightsFingerprint` does, by bytes of every tensor. Opens the checkpoint's files again the first time.
   * @throws TurboQuantError invalid_file — they are not those that were loaded · whatever opening them throws
   */
  weightsDigest(): Promise<string> {
    return this.#shared.weightsDigest();
  }

  /** What a snapshot must agree with to be restored here. */
  get snapshotIdentity(): SnapshotIdentity {
    return { fingerprint: this.fingerprint, kvSpec: this.decoder.kv.text };
  }

  /**
   * Loads a Hugging Face checkpoint from a directory, a name on the hub, the name of an embedded model, or a file source. A file source
   * stays open, for the caller to close.
   * @throws TurboQuantError with a code and the next step for every wrong file or option
   */
  static async load(ref: string | FileSource, options: LoadOptions = {}): Promise<LLM> {
    return loadLlm(ref, options, async (shared, own) => {
      const llm = new LLM(shared, own);
      options.signal?.throwIfAborted();
      await llm.#warmUp(options.onProgress);
      return llm;
    });
  }

  /**
   * The same model with another KV format. Weights, backend and tokenizer are shared; the cache is separate. It can be disposed
   * of before this model, and must not be used after it. Where the format says `calibration=auto`, a model that has no calibration gets
   * one first (`calibrate`). contextLength: the most tokens of a sequence there, at most `longestContext(kv)`; default: as here
   * @throws TurboQuantError invalid_argument — not a format, or one that this model cannot have; a context that this device does not hold
   */
  async withKv(kv: string, options: { readonly contextLength?: number } = {}): Promise<LLM> {
    this.#assertLive();
    refuseUnknownOptions("withKv", options, { contextLength: true });
    const spec = parseKvSpec(kv);
    checkBudgetGiven(spec, this.cache.pool.budgetBytes);
    if (options.contextLength !== undefined) this.#checkHeld(options.contextLength, spec.text);
    if (wantsCalibration(spec, undefined)) await this.calibrate();
    const calibration = await this.loadCalibration(spec);
    const decoder = this.decoder.withFormat(spec, calibration);
    const { contextLength = this.runner.contextLength } = options;
    const kvBudgetBytes = this.cache.pool.budgetBytes;
    try {
      const view = new LLM(this.#shared, { decoder, calibration, contextLength, kvBudgetBytes, isView: true });
      await view.#warmUp();
      return view;
    } catch (error) {
      decoder.dispose();
      throw error;
    }
  }

  /**
   * The most tokens of a sequence that this device holds in a format beside these weights, at most the model's own; 0 where not one page
   * fits. Caches that lie in memory already are not counted.
   * @throws TurboQuantError invalid_argument — not a format
   */
  longestContext(kv: string): number {
    return this.#shared.longestContext(parseKvSpec(kv).text);
  }

  #checkHeld(tokens: number, kv: string): void {
    const most = this.longestContext(kv);
    if (Number.isInteger(tokens) && tokens >= 1 && tokens <= most) return;
    throw new TurboQuantError(
      "invalid_argument",
      `withKv: contextLength: expected 1 to ${most} (what this device holds in ${kv}), got ${tokens}; shorten it, or choose a smaller format`,
      { contextLength: tokens, longest: most },
    );
  }

  /** Compiles the kernels that generation usually needs, so that the first token does not wait for them. */
  #warmUp(onProgress?: OnProgress): Promise<void> {
    const own = parseSamplingConfig(this.samplingDefaults);
    return this.runner.warmUp(this.cache, [...WARM_UP_DRAWS, own], (done, total) =>
      onProgress?.({ phase: "compile", item: "kernels", done, total, unit: "kernels" }),
    );
  }

  /** Loads the calibration that a format asks for. */
  async loadCalibration(spec: KvSpec): Promise<OwnFields["calibration"]> {
    const { calibrationOption, made } = this.#shared;
    const choice = calibrationChoice(spec, calibrationOption);
    if (choice === "off") return [];
    if (choice === "auto" && made.layers) return made.layers;
    const source = await this.reopen();
    try {
      const fingerprint = async (): Promise<string> => this.weightsFingerprint;
      const model = { stem: this.stem, fingerprint };
      return (await readCalibration(source, choice, calibratedShape(this.config), model)).layers;
    } finally {
      await source.close();
    }
  }

  /**
   * Makes a calibration for a model that has none, as `calibration: "auto"` does when it is loaded. Formats that `withKv` makes from then
   * on have it.
   *
   * returns: what came of it, in one line; null for a model that has one
   */
  async calibrate(options: MakeCalibrationOptions = {}): Promise<{ isMade: boolean; note: string } | null> {
    this.#assertLive();
    refuseUnknownOptions("calibrate", options, { maxSeconds: true, signal: true, onProgress: true });
    const { made } = this.#shared;
    if (made.layers) return null;
    const source = await this.reopen();
    try {
      const checkpoint = await openCheckpoint(source);
      if (await hasCalibration(source, checkpoint)) return null;
      const { decoder, tokenizer } = this;
      const { layers, note } = await makeCalibration({ decoder, tokenizer, checkpoint, source }, options);
      made.layers = layers;
      return { isMade: layers !== null, note };
    } finally {
      await source.close();
    }
  }

  /** A conversation with a cache of its own. */
  createSession(): Session {
    this.#assertLive();
    return new Session(this, this.cache.createSequence());
  }

  /** Continues a prompt. The cache is released at the end. */
  async *generate(
    prompt: string | ArrayLike<number>,
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerationChunk, void> {
    const session = this.createSession();
    try {
      yield* session.generate(prompt, options);
    } finally {
      session.release();
    }
  }

  /** Answers a conversation, rendered with the model's chat template. */
  async *chat(messages: readonly ChatMessage[], options: GenerateOptions = {}): AsyncGenerator<GenerationChunk, void> {
    yield* this.generate(await this.encodeChat(messages), options);
  }

  /** Token ids of a conversation up to the place where the assistant's answer begins. */
  async encodeChat(messages: readonly ChatMessage[]): Promise<number[]> {
    const text = await this.tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true });
    return Array.from(this.tokenizer.encode(text, { addSpecialTokens: false }));
  }

  /**
   * The options with a constraint in place of `schema` or `grammar`; the same ones where they have neither.
   * @throws TurboQuantError as `Grammars.bind`
   */
  bind(options: GenerateOptions): Promise<RunOptions> {
    return this.grammars.bind(options);
  }

  /**
   * A session from the bytes of `Session.save`.
   * @throws TurboQuantError invalid_file — of another model or format, or damaged
   */
  restore(bytes: Uint8Array): Session {
    this.#assertLive();
    const { sequence, tokens } = restoreSequence(this.cache, bytes, this.snapshotIdentity);
    return new Session(this, sequence, tokens);
  }

  /**
   * Frees weights, pages and threads. A model made by `withKv` frees only its activations and what was made of its calibration;
   * its sessions release their own pages.
   */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.decoder.dispose();
    if (!this.#isView) await this.ops.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #assertLive(): void {
    if (this.#disposed) throw new TurboQuantError("invalid_argument", "LLM: used after dispose(); load it again");
  }
}
