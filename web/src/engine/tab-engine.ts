/** @file The engine in this tab, running in a worker on WebGPU or WASM. */
import type { ChatOptions, Engine } from "./engine.ts";
import type {
  CacheState,
  CalibrationOutcome,
  CalibrationProgress,
  ChatRequest,
  ChatResult,
  CompareEvent,
  CompareRequest,
  KeepOutcome,
  LoadEvent,
  LoadRequest,
  ModelInfo,
  Restored,
  RewriteEvent,
} from "./protocol.ts";
import { EngineRpc } from "./rpc.ts";

export class TabEngine implements Engine {
  readonly where = "tab";
  readonly #rpc: EngineRpc;
  #info: ModelInfo;

  private constructor(rpc: EngineRpc, info: ModelInfo) {
    this.#rpc = rpc;
    this.#info = info;
  }

  static async load(
    request: LoadRequest,
    options: { readonly onEvent: (event: LoadEvent) => void; readonly signal: AbortSignal },
  ): Promise<TabEngine> {
    const rpc = new EngineRpc();
    try {
      return new TabEngine(rpc, await rpc.call("load", request, options));
    } catch (error) {
      rpc.terminate();
      throw error;
    }
  }

  get info(): ModelInfo {
    return this.#info;
  }

  async setKv(kv: string): Promise<ModelInfo> {
    this.#info = await this.#rpc.call("setKv", kv);
    return this.#info;
  }

  /** See `Calls.calibrate`. */
  async calibrate(onEvent: (event: CalibrationProgress) => void): Promise<CalibrationOutcome | null> {
    const outcome = await this.#rpc.call("calibrate", null, { onEvent });
    if (outcome?.info) this.#info = outcome.info;
    return outcome;
  }

  /** See `Calls.rewrite`. */
  rewrite(
    conversation: string,
    options: { readonly onEvent: (event: RewriteEvent) => void; readonly signal: AbortSignal },
  ): Promise<CacheState | null> {
    return this.#rpc.call("rewrite", conversation, options);
  }

  /** Tokens of a prompt. */
  measure(messages: ChatRequest["messages"]): Promise<number> {
    return this.#rpc.call("measure", messages);
  }

  chat(request: ChatRequest, options: ChatOptions): Promise<ChatResult> {
    return this.#rpc.call("chat", request, options);
  }

  async compare(
    request: CompareRequest,
    options: { readonly onEvent: (event: CompareEvent) => void; readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#rpc.call("compare", request, options);
  }

  /** See `Calls.look`. */
  look(conversation: string): Promise<CacheState | null> {
    return this.#rpc.call("look", conversation);
  }

  /** See `Calls.keep`. */
  keep(conversation: string): Promise<KeepOutcome> {
    return this.#rpc.call("keep", conversation);
  }

  save(conversation: string): Promise<Uint8Array> {
    return this.#rpc.call("save", conversation);
  }

  restore(conversation: string, bytes: Uint8Array): Promise<Restored> {
    return this.#rpc.call("restore", { conversation, bytes });
  }

  /** An engine that has ended has nothing to free. */
  async forget(conversation: string): Promise<void> {
    await this.#rpc.call("forget", conversation).catch(() => {});
  }

  dispose(): void {
    this.#rpc.terminate();
  }
}
