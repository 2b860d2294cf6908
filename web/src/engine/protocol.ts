/** @file The messages between the page and the engine's worker. All of them can be sent by `postMessage`. */
import type { ChatMessage, FinishReason, SamplingParams, Timings, Usage, WeightType } from "turboquant";
import type { LayerSegments } from "turboquant/cache";
import type { CacheKind } from "turboquant/plan";
import type { KeptCache } from "../kept/kept-caches.ts";

/** A file of an embedded model, as in checkpoints/index.json. */
export interface ListedFile {
  readonly name: string;
  readonly bytes: number;
}

/** Where the weights come from. */
export type ModelRef =
  | { readonly kind: "embedded"; readonly name: string; readonly files: readonly ListedFile[] }
  /** ref: a URL prefix or a hub id. */
  | { readonly kind: "url"; readonly ref: string }
  | { readonly kind: "folder"; readonly name: string; readonly files: readonly (readonly [string, File])[] };

export type BackendChoice = "auto" | "webgpu" | "wasm";
/**
 * Formats that weights can be kept in: as stored, or with fewer bits. A test compares them with the engine's registry, which
 * would make the page's own script larger.
 */
export const WEIGHT_CHOICES = ["auto", "q8", "q4"] as const satisfies readonly ("auto" | WeightType)[];
export type WeightChoice = (typeof WEIGHT_CHOICES)[number];

export interface LoadRequest {
  readonly model: ModelRef;
  readonly kv: string;
  readonly backend: BackendChoice;
  readonly weights: WeightChoice;
  /** Tokens that the model is stretched to (YaRN), beyond its own context. */
  readonly contextLength?: number | undefined;
  /** Absolute URL of the page's folder. A worker would resolve relative URLs against its script. */
  readonly baseUrl: string;
}

export interface ModelInfo {
  readonly name: string;
  readonly kv: string;
  /** The backend's description of itself, e.g. `wasm, 2 threads, …`. */
  readonly backend: string;
  /** Of the registry of backends; `server` where another process computes. */
  readonly backendName: string;
  /** What `auto` chose and why; empty when a backend was named. */
  readonly backendChoice: string;
  readonly numLayers: number;
  readonly contextLength: number;
  readonly hasChatTemplate: boolean;
  /** Number of tokens from which on this format takes less than f16; null when it never does within the context. */
  readonly savesFrom: number | null;
  /** What layers keep; empty for a server's model. */
  readonly kinds: readonly CacheKind[];
  /** The most tokens that the model itself takes. */
  readonly modelContext: number;
  /** How far each format that the page offers reaches on this device, and the one that is in use; empty for a server's model. */
  readonly reaches: readonly FormatReach[];
}

export interface FormatBytes {
  readonly kv: string;
  readonly numBytes: number;
}

export interface FormatReach {
  readonly kv: string;
  /** The longest conversation that this device holds, at most what the model takes. */
  readonly tokens: number;
  /** Bytes of a conversation as long as the model takes it. */
  readonly fullBytes: number;
}

/** The cache of one conversation, computed from the allocated pages. */
export interface CacheState {
  readonly tokens: number;
  readonly numBytes: number;
  /** Bytes that the same allocator takes for as many tokens in f16. */
  readonly f16Bytes: number;
  /** What as many tokens take in each format that the page offers; empty for a server. */
  readonly formats: readonly FormatBytes[];
  /** Of layers that keep something, each with its share of `f16Bytes`. */
  readonly layers: readonly (LayerSegments & { readonly f16Bytes: number })[];
  /** Number and total bytes of all caches in this tab, this one included; null for a server. */
  readonly shelf: { readonly sessions: number; readonly numBytes: number } | null;
}

export type Sampling = Partial<
  Pick<SamplingParams, "maxNewTokens" | "temperature" | "topK" | "topP" | "minP" | "seed">
>;

export interface ChatRequest {
  readonly conversation: string;
  readonly messages: readonly ChatMessage[];
  readonly sampling: Sampling;
}

export type ChatEvent =
  | { readonly type: "prefill"; readonly done: number; readonly total: number }
  | { readonly type: "text"; readonly text: string; readonly tokens: number }
  | { readonly type: "cache"; readonly cache: CacheState };

/** While a cache is written anew: tokens that are in it, and all tokens. */
export interface RewriteEvent {
  readonly done: number;
  readonly total: number;
  readonly cache: CacheState;
}

export interface ChatResult {
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly timings: Timings;
  /** null when the server does not report it. */
  readonly cache: CacheState | null;
}

/** A question about a text, and what a right answer contains. */
export interface RecallQuestion {
  readonly ask: string;
  readonly expected: string;
}

export interface CompareRequest {
  readonly prompt: string;
  /** Continue the text as it is, without the chat template. */
  readonly isRaw: boolean;
  /** The first is what the others are held against. */
  readonly formats: readonly string[];
  readonly maxNewTokens: number;
  /** Asked about the prompt, one after the other; without any the prompt is answered or continued. */
  readonly questions: readonly RecallQuestion[];
}

/** A token that might have come, with its probability from 0 to 1. */
export interface LikelyToken {
  readonly token: number;
  readonly text: string;
  readonly probability: number;
}

export type CompareEvent =
  | { readonly type: "prefill"; readonly column: number; readonly done: number; readonly total: number }
  | {
      readonly type: "token";
      readonly column: number;
      readonly token: number;
      readonly text: string;
      /** The most likely tokens in its place, the likeliest first. */
      readonly likely: readonly LikelyToken[];
    }
  | { readonly type: "recall"; readonly column: number; readonly text: string; readonly isFound: boolean }
  /** Over the text of the first format, so far: tokens for which this format would have said the same next. */
  | { readonly type: "agreement"; readonly column: number; readonly agreed: number; readonly total: number }
  | { readonly type: "done"; readonly column: number; readonly result: CompareResult };

export interface CompareResult {
  readonly kv: string;
  readonly promptTokens: number;
  readonly tokens: number;
  readonly numBytes: number;
  readonly f16Bytes: number;
}

export interface Restored {
  readonly messages: readonly { readonly role: "user" | "assistant"; readonly text: string }[];
  readonly system: string;
  readonly cache: CacheState;
}

export interface LoadProgress {
  /** What is being done, e.g. `model.safetensors`. */
  readonly item: string;
  readonly phase: "download" | "load" | "compile";
  readonly done: number;
  readonly total: number;
}

/** What is known of a model before its weights are read. */
export interface LoadPlan {
  readonly phase: "plan";
  readonly name: string;
  readonly weightBytes: number;
  /** Of one conversation of `context` tokens in `kv`. */
  readonly cacheBytes: number;
  readonly kv: string;
  readonly context: number;
}

export type LoadEvent = LoadProgress | LoadPlan;

/** Tokens of the text of a calibration that were read. */
export interface CalibrationProgress {
  readonly done: number;
  readonly total: number;
}

export interface CalibrationOutcome {
  /** What came of it, in one line. */
  readonly note: string;
  /** The model with a cache that is calibrated; null when nothing has changed. */
  readonly info: ModelInfo | null;
}

export interface KeepOutcome {
  /** null when nothing is kept: there is no cache, it is too large, or storing failed. */
  readonly kept: KeptCache | null;
  /** Why storing failed; empty when it did not. */
  readonly problem: string;
}

/** Every call to the worker: its argument, the events it may send, its result. */
export interface Calls {
  readonly load: { readonly argument: LoadRequest; readonly event: LoadEvent; readonly result: ModelInfo };
  readonly setKv: { readonly argument: string; readonly event: never; readonly result: ModelInfo };
  /**
   * Writes the cache of a conversation anew that another format was chosen for. The result is null where there was none. A call that is
   * aborted leaves the tokens that were written, and a chat goes on from there.
   */
  readonly rewrite: { readonly argument: string; readonly event: RewriteEvent; readonly result: CacheState | null };
  /** Tokens of a prompt. Does not stand in the queue of the others. */
  readonly measure: { readonly argument: readonly ChatMessage[]; readonly event: never; readonly result: number };
  readonly chat: { readonly argument: ChatRequest; readonly event: ChatEvent; readonly result: ChatResult };
  readonly compare: { readonly argument: CompareRequest; readonly event: CompareEvent; readonly result: null };
  readonly save: { readonly argument: string; readonly event: never; readonly result: Uint8Array };
  readonly restore: {
    readonly argument: { readonly conversation: string; readonly bytes: Uint8Array };
    readonly event: never;
    readonly result: Restored;
  };
  /**
   * Calibrates a model that has no calibration, when no other call is at work; the caches of all conversations are dropped then. Does not
   * stand in the queue of the others. The result is null where there is nothing to be made.
   */
  readonly calibrate: {
    readonly argument: null;
    readonly event: CalibrationProgress;
    readonly result: CalibrationOutcome | null;
  };
  /**
   * The cache of a conversation: in memory, or read there if the browser keeps it. The result is null where there is none. Waits for the
   * others only where it has to be read.
   */
  readonly look: { readonly argument: string; readonly event: never; readonly result: CacheState | null };
  /** Keeps the cache of a conversation in the browser. */
  readonly keep: { readonly argument: string; readonly event: never; readonly result: KeepOutcome };
  /** Frees the cache of a conversation that was deleted, and removes what the browser keeps of it. */
  readonly forget: { readonly argument: string; readonly event: never; readonly result: null };
}
export type CallName = keyof Calls;

export type ToWorker =
  | { readonly id: number; readonly call: CallName; readonly argument: unknown }
  | { readonly id: number; readonly abort: true };

/** An error as plain data, because `postMessage` drops the fields of subclasses. */
export interface PlainError {
  readonly code: string;
  readonly message: string;
}

export type FromWorker =
  | { readonly id: number; readonly event: unknown }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: PlainError };
