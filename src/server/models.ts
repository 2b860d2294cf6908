/** @file The models of a server, as requests find and use them. */
import type { Footprint } from "../engine/footprint.ts";
import type { LLM } from "../engine/llm.ts";
import type { Scheduler } from "../engine/scheduler/scheduler.ts";
import type { OnProgress, ProgressEvent } from "../platform.ts";
import { ApiError } from "./api-error.ts";
import type { TextWork } from "./text-work.ts";

/** A model in memory, and what computes with it. */
export interface ModelContext {
  readonly llm: LLM;
  readonly scheduler: Scheduler;
  /** Renders and encodes; default: this thread does. */
  readonly text?: TextWork;
}

/** A model that stays in memory until it is given back. */
export interface HeldModel {
  readonly model: ModelContext;
  release(): void;
}

export interface ModelStatus {
  readonly value: "loaded" | "loading" | "unloaded";
  /** Of what is being loaded. */
  readonly progress?: ProgressEvent;
  /** Why it could not be loaded when that was last tried. */
  readonly error?: string;
  /** What is counted for it of the memory that models have together; of one that is not in memory, absent. */
  readonly memoryBytes?: number;
}

/** What is known of a model before it is loaded. */
export interface KnownModel {
  /** The format that its cache will have. */
  readonly kv: string;
  readonly weightBytes: number;
  readonly vocabSize: number;
  /** The most tokens of a sequence; where memory is short it has fewer when it is loaded. */
  readonly contextLength: number;
  readonly trainedContext: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
}

export interface ListedModel {
  readonly name: string;
  /** null: it is not in memory. */
  readonly model: ModelContext | null;
  /** Of one that comes and goes. */
  readonly known?: KnownModel;
  readonly status?: ModelStatus;
}

export interface Models {
  /** What requests may call them. The first is meant where a request names none. */
  readonly names: readonly string[];
  /** Whether no more requests are taken. */
  readonly isDraining: boolean;
  /** Every name is one of `names`. */
  listed(name: string): ListedModel;
  /**
   * A model for a request, which waits until it is loaded.
   * @throws ApiError 503 — it cannot be loaded, or the server ends · TurboQuantError unavailable — too many wait for it · the reason of `signal`
   */
  hold(name: string, signal: AbortSignal): Promise<HeldModel>;
  /** The same for one that is in memory; null when it is not. */
  holdLoaded(name: string): HeldModel | null;
  /**
   * Takes a model out of memory when the requests at work on it are finished. Those that wait for it to be loaded are refused.
   * @throws ApiError 400 — it is the only one · the reason of `signal`
   */
  unload(name: string, signal: AbortSignal): Promise<void>;
}

/** A model that comes and goes. */
export interface ModelSource {
  readonly name: string;
  readonly known: KnownModel;
  /** @throws TurboQuantError as `LLM.load` · the reason of the signal */
  load(loading: Loading): Promise<LoadedModel>;
}

export interface Loading {
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  /** Waits until there is room beside other models; to be called before weights are read. */
  makeRoom(footprint: Footprint): Promise<void>;
}

export interface LoadedModel extends ModelContext, AsyncDisposable {
  /** Takes no more requests; resolves when those at work are answered. */
  drain(): Promise<void>;
  /** Aborts the requests at work. */
  close(): Promise<void>;
}

/** One model under its names, which is in memory as long as the server is. */
export const oneModel = (names: readonly string[], model: ModelContext): Models => {
  const held = { model, release() {} };
  return {
    names,
    get isDraining() {
      return model.scheduler.isDraining;
    },
    listed: (name) => ({ name, model }),
    hold: async () => held,
    holdLoaded: () => held,
    async unload() {
      throw new ApiError(
        400,
        `model: ${names[0]} is the only one here, and stays; start the server with several --model`,
        {
          code: "unsupported",
          param: "model",
        },
      );
    },
  };
};
