/** @file The engine inside its worker: one model, and the caches of recent conversations. */
import { calibrateWhenIdle, LLM, type Session, TurboQuantError } from "turboquant";
import { cacheKinds, modelOfConfig, type PlannedModel, planMemory } from "turboquant/plan";
import { CacheKeeper, LEAST_SHARED_TOKENS } from "./cache-keeper.ts";
import { cacheState, savesFrom } from "./cache-state.ts";
import { FormatFigures } from "./format-figures.ts";
import { openModel } from "./open-model.ts";
import type {
  CacheState,
  CalibrationOutcome,
  CalibrationProgress,
  ChatEvent,
  ChatRequest,
  ChatResult,
  CompareEvent,
  CompareRequest,
  KeepOutcome,
  LoadEvent,
  LoadPlan,
  LoadRequest,
  ModelInfo,
  Restored,
  RewriteEvent,
} from "./protocol.ts";
import { runComparison } from "./run-comparison.ts";
import { SessionShelf } from "./session-shelf.ts";
import { StoredSource } from "./stored-source.ts";
import { transcriptOf } from "./transcript.ts";

/** Time between two reports of the cache while tokens are generated. */
const CACHE_INTERVAL_MS = 120;

/** Memory enough for any plan: it is not asked whether the model fits, which the engine says by itself. */
const ANY_MEMORY = 2 ** 50;

/** null where the engine is about to say why this cannot be. */
function planOf(model: PlannedModel, { kv, weights, backend }: LoadRequest): LoadPlan | null {
  try {
    const { weights: kept, formats } = planMemory(model, { memoryBytes: ANY_MEMORY, kv: [kv], weights, backend });
    const { cacheBytes, context } = formats[0]!;
    return { phase: "plan", name: model.name, weightBytes: kept.bytes, cacheBytes, kv, context };
  } catch {
    return null;
  }
}

export class Host {
  /** The model that owns the weights. */
  #owner: LLM | null = null;
  /** The same weights in the format that was chosen last. */
  #llm: LLM | null = null;
  #shelf: SessionShelf | null = null;
  readonly #kept = CacheKeeper.open();
  #figures: FormatFigures | null = null;
  /** Tokens of conversations whose caches were dropped with the last change of the format. */
  #dropped = new Map<string, readonly number[]>();

  async load(request: LoadRequest, send: (event: LoadEvent) => void, signal: AbortSignal): Promise<ModelInfo> {
    await this.#unload();
    const model = await openModel(request, send, signal);
    const llm = await LLM.load(model, {
      kv: request.kv,
      backend: request.backend,
      weights: request.weights,
      ...(request.contextLength && { contextLength: request.contextLength, rope: { scaling: "yarn" } }),
      signal,
      onModel: (planned) => {
        const plan = planOf(planned, request);
        if (plan) send(plan);
      },
      onProgress: ({ phase, item, done, total }) => {
        if (phase === "load" || phase === "download" || phase === "compile") send({ phase, item, done, total });
      },
    });
    if (model instanceof StoredSource) await model.markWhole();
    this.#owner = llm;
    this.#use(llm);
    return this.#info();
  }

  /**
   * Changes the cache format, and the context to what the device holds of it. The caches of all conversations are in the old format, so
   * they are dropped and computed again when needed.
   */
  async setKv(kv: string): Promise<ModelInfo> {
    const owner = this.#require(this.#owner);
    const longest = owner.longestContext(kv);
    const next = await owner.withKv(kv, longest > 0 ? { contextLength: longest } : {});
    // Those that are still to be written anew from an earlier change have more tokens there than on the shelf.
    this.#dropped = new Map([...(this.#shelf?.tokens() ?? []), ...this.#dropped]);
    this.#shelf?.clear();
    if (this.#llm !== owner) await this.#llm?.dispose();
    this.#use(next);
    return this.#info();
  }

  /** See `Calls.calibrate`. enqueue: runs something after the calls that are at work */
  async calibrate({
    send,
    signal,
    isIdle,
    enqueue,
  }: {
    readonly send: (event: CalibrationProgress) => void;
    readonly signal: AbortSignal;
    readonly isIdle: () => boolean;
    readonly enqueue: <T>(work: () => Promise<T>) => Promise<T>;
  }): Promise<CalibrationOutcome | null> {
    const owner = this.#require(this.#owner);
    const { kv } = this.#require(this.#llm).decoder;
    if (kv.isFloat || kv.calibration !== "auto") return null;
    const outcome = await calibrateWhenIdle(owner, {
      isIdle,
      signal,
      onProgress: ({ item, done, total }) => {
        if (item === "reading") send({ done, total });
      },
    });
    if (!outcome?.isMade || this.#owner !== owner) return outcome && { note: outcome.note, info: null };
    const info = await enqueue(() => this.setKv(this.#require(this.#llm).decoder.kv.text));
    return { note: outcome.note, info };
  }

  async rewrite(
    conversation: string,
    send: (event: RewriteEvent) => void,
    signal: AbortSignal,
  ): Promise<CacheState | null> {
    const shelf = this.#require(this.#shelf);
    const ids = this.#dropped.get(conversation);
    if (!ids || ids.length === 0 || ids.length > this.#require(this.#llm).runner.contextLength) return null;
    const session = shelf.take(conversation);
    const onPrefill = (done: number, total: number): void => send({ done, total, cache: this.#state(conversation) });
    const shared = session.rewindTo(ids);
    // The token that ends the generation is drawn, and not in the cache.
    for await (const _ of session.generate(ids.slice(shared), { maxNewTokens: 1, temperature: 0, signal, onPrefill }));
    this.#dropped.delete(conversation);
    return this.#state(conversation);
  }

  async chat(request: ChatRequest, send: (event: ChatEvent) => void, signal: AbortSignal): Promise<ChatResult> {
    const llm = this.#require(this.#llm);
    this.#dropped.delete(request.conversation);
    const ids = await this.#encode(request.messages, llm);
    const session = await this.#sessionFor(request.conversation, ids);
    const options = {
      ...request.sampling,
      signal,
      onPrefill: (done: number, total: number) => {
        send({ type: "prefill", done, total });
        send({ type: "cache", cache: this.#state(request.conversation) });
      },
    };
    let lastLook = 0;
    let tokens = 0;
    const shared = session.rewindTo(ids);
    // The first report comes before anything is read, so that the time which the rest takes is known with the next one.
    send({ type: "prefill", done: 0, total: ids.length - shared });
    for await (const chunk of session.generate(ids.slice(shared), options)) {
      if (chunk.token !== undefined) tokens++;
      if (chunk.text) send({ type: "text", text: chunk.text, tokens });
      const now = performance.now();
      if (now - lastLook > CACHE_INTERVAL_MS) {
        lastLook = now;
        send({ type: "cache", cache: this.#state(request.conversation) });
      }
      const { finishReason, usage, timings } = chunk;
      if (finishReason && usage && timings) {
        const cached = { ...usage, promptTokens: ids.length, cachedTokens: shared };
        return { finishReason, usage: cached, timings, cache: this.#state(request.conversation) };
      }
    }
    throw new TurboQuantError("internal", "chat: the generation ended without a last chunk");
  }

  async measure(messages: ChatRequest["messages"]): Promise<number> {
    return (await this.#encode(messages, this.#require(this.#llm))).length;
  }

  async compare(request: CompareRequest, send: (event: CompareEvent) => void, signal: AbortSignal): Promise<null> {
    await runComparison(this.#require(this.#owner), request, send, signal);
    return null;
  }

  save(conversation: string): Promise<Uint8Array> {
    return this.#require(this.#shelf).require(conversation).save();
  }

  async restore(conversation: string, bytes: Uint8Array): Promise<Restored> {
    const llm = this.#require(this.#llm);
    const session = llm.restore(bytes);
    this.#require(this.#shelf).put(conversation, session);
    const { system, messages } = await transcriptOf(llm.tokenizer, session.tokens);
    return { system, messages, cache: this.#state(conversation) };
  }

  /** The cache of a conversation that is in memory. */
  look(conversation: string): CacheState | null {
    return this.#shelf?.has(conversation) ? this.#state(conversation) : null;
  }

  /** Reads the cache of a conversation that the browser keeps. */
  async lookKept(conversation: string): Promise<CacheState | null> {
    const [llm, shelf] = [this.#llm, this.#shelf];
    const kept = await this.#kept;
    if (!llm || !shelf || !kept?.has(conversation, llm) || this.#dropped.has(conversation))
      return this.look(conversation);
    const session = shelf.has(conversation) ? null : await kept.restore(conversation, llm);
    if (session) shelf.put(conversation, session);
    return this.look(conversation);
  }

  async keep(conversation: string): Promise<KeepOutcome> {
    const [llm, shelf] = [this.#llm, this.#shelf];
    const kept = await this.#kept;
    if (!llm || !shelf?.has(conversation) || !kept) return { kept: null, problem: "" };
    return kept.keep(conversation, shelf.require(conversation), llm);
  }

  /** The conversation's session: in memory, or else the one that has most of the prompt, be it another conversation's about the same document. */
  async #sessionFor(conversation: string, ids: readonly number[]): Promise<Session> {
    const llm = this.#require(this.#llm);
    const shelf = this.#require(this.#shelf);
    if (shelf.has(conversation)) return shelf.take(conversation);
    const kept = await this.#kept;
    const found = kept?.find(ids, conversation, llm);
    const forked = shelf.fork(ids, Math.max(found?.shared ?? 0, LEAST_SHARED_TOKENS));
    const session = forked?.session ?? (found && (await kept!.restore(found.id, llm)));
    if (session) shelf.put(conversation, session);
    return shelf.take(conversation);
  }

  async forget(conversation: string): Promise<null> {
    this.#dropped.delete(conversation);
    this.#shelf?.drop(conversation);
    await (await this.#kept)?.remove(conversation);
    return null;
  }

  /** Encodes the prompt. A base model has no template, so it continues the text of the messages. */
  async #encode(messages: ChatRequest["messages"], llm: LLM): Promise<number[]> {
    if (llm.tokenizer.chatTemplate) return llm.encodeChat(messages);
    return llm.tokenizer.encode(messages.map(({ content }) => content ?? "").join(""));
  }

  #state(conversation: string): CacheState {
    const shelf = this.#require(this.#shelf);
    const llm = this.#require(this.#llm);
    return {
      ...cacheState(llm, shelf.require(conversation).sequence, this.#require(this.#figures)),
      shelf: { sessions: shelf.size, numBytes: llm.cache.numBytes },
    };
  }

  #info(): ModelInfo {
    const { ops, name, config, decoder, runner, tokenizer, backendChoice } = this.#require(this.#llm);
    const model = modelOfConfig(config, name);
    return {
      name,
      kv: decoder.kv.text,
      backend: ops.describe(),
      backendName: ops.name,
      backendChoice: backendChoice ?? "",
      numLayers: config.numLayers,
      contextLength: runner.contextLength,
      hasChatTemplate: tokenizer.chatTemplate !== null,
      savesFrom: savesFrom(model, decoder.kv, runner.contextLength),
      kinds: cacheKinds(model, decoder.kv, runner.contextLength),
      modelContext: config.maxPositionEmbeddings,
      reaches: this.#require(this.#figures).reaches(),
    };
  }

  #use(llm: LLM): void {
    this.#llm = llm;
    this.#shelf = new SessionShelf(llm);
    this.#figures = new FormatFigures(llm);
  }

  async #unload(): Promise<void> {
    const [owner, llm] = [this.#owner, this.#llm];
    // The fields are cleared first, because disposing may fail after the device was lost.
    this.#owner = this.#llm = null;
    const shelf = this.#shelf;
    this.#shelf = null;
    this.#figures = null;
    this.#dropped.clear();
    shelf?.clear();
    if (llm !== owner) await llm?.dispose();
    await owner?.dispose();
  }

  #require<T>(value: T | null): T {
    if (value) return value;
    throw new TurboQuantError("invalid_argument", "no model is loaded; choose one first");
  }
}
