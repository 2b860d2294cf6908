/** @file The models of `serve`: one, which is loaded before the server listens, or several, which are loaded when requests need them. */
import { LLM } from "../../engine/llm.ts";
import type { LoadOptions } from "../../engine/load-options.ts";
import type { SchedulerStats } from "../../engine/scheduler/observer.ts";
import type { SchedulerOptions } from "../../engine/scheduler/scheduler-options.ts";
import { TurboQuantError } from "../../errors.ts";
import { formatBytes, formatCount } from "../../format-number.ts";
import { openCheckpoint } from "../../formats/open-checkpoint.ts";
import { collectGarbage } from "../../node/collect-garbage.ts";
import { planMemory } from "../../plan/memory-plan.ts";
import { readPlannedModel } from "../../plan/read-model.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { ModelEngine } from "../../server/model-engine.ts";
import { ModelPool } from "../../server/model-pool.ts";
import { type ModelSource, type Models, oneModel } from "../../server/models.ts";
import type { Logger } from "../../server/server-context.ts";
import { type ModelMetrics, ServerMetrics } from "../../server/server-metrics.ts";
import { readTokenizerFiles, type TokenizerFiles } from "../../tokenizer/tokenizer-files.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { explain } from "../explain.ts";
import { loadModel } from "../load-model.ts";
import type { ModelFlags } from "../options.ts";
import { TextThreads } from "../text-threads.ts";
import { withMetadata } from "../with-metadata.ts";
import { checkNames, type WantedModel } from "./model-flags.ts";

export interface ServedModels extends AsyncDisposable {
  readonly models: Models;
  readonly metrics: ServerMetrics;
  /** Of all models in memory together. */
  readonly stats: SchedulerStats;
  /** What is said of them when the server begins: for people, and for programs. */
  readonly headline: string;
  readonly summary: {
    readonly model: string;
    readonly models?: readonly string[];
    readonly kv: string;
    readonly kvBudgetBytes: number;
  };
  /** Takes no more requests; resolves when those at work are answered. */
  drain(): Promise<void>;
  /** Aborts the requests at work. */
  close(): Promise<void>;
}

export interface ServedOptions {
  readonly flags: Omit<ModelFlags, "model"> & { readonly alias?: readonly string[]; readonly metricsPrefix: string };
  readonly context: CommandContext;
  readonly logger: Logger;
  /** A model's calibration waits until nobody asks, as a server is asked as soon as it listens. */
  readonly load: LoadOptions & { readonly kv: string; readonly kvBudgetBytes: number };
  /** For each model. */
  readonly scheduler: SchedulerOptions;
  /** Texts of a model that may wait to be read, and requests that may wait for it to be loaded. */
  readonly maxWaiting: { readonly texts: number; readonly requests: number };
}

/** @throws TurboQuantError as `LLM.load` */
export async function serveOne({ name, ref }: WantedModel, options: ServedOptions): Promise<ServedModels> {
  const { flags, context, load } = options;
  const { calibration, ...loadOptions } = load;
  const llm = await loadModel({ ...flags, model: ref }, context, progressOf(context, flags), loadOptions);
  const names = [...(flags.alias ?? []), name ?? llm.name];
  const kv = llm.decoder.kv.text;
  const metrics = new ServerMetrics({ prefix: flags.metricsPrefix, modelNames: [names[0]!], kv });
  const own = metrics.of(names[0]!);
  const engine = await engineOf(llm, own, options);
  own.watch(() => engine.scheduler.stats);
  if (options.scheduler.pageStore) own.watchPageStore(() => engine.scheduler.stats);
  engine.calibrateWhenIdle(calibration, () => engine.isIdle);
  const { budgetBytes } = llm.cache.pool;
  return {
    models: oneModel(names, engine),
    metrics,
    get stats() {
      return engine.scheduler.stats;
    },
    headline:
      `${names[0]} on ${llm.ops.describe()}\n` +
      `KV cache ${kv}: at most ${formatBytes(budgetBytes)}, context ${formatCount(llm.runner.contextLength)} tokens\n`,
    summary: { model: names[0]!, kv, kvBudgetBytes: budgetBytes },
    drain: () => engine.drain(),
    close: () => engine.close(),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

/** @throws TurboQuantError invalid_argument — names that are not different; as `LLM.load` for what the headers of a model say */
export async function serveSeveral(wanted: readonly WantedModel[], options: ServedOptions): Promise<ServedModels> {
  const { flags, context, logger, load, maxWaiting } = options;
  if (flags.alias?.length) {
    throw new TurboQuantError(
      "invalid_argument",
      "--alias: it is for one model; give each of several a name: --model NAME=REF",
    );
  }
  const kv = parseKvSpec(load.kv).text;
  const sources: ModelSource[] = [];
  for (const { name, ref } of wanted) sources.push(await sourceOf(name, ref));
  const names = sources.map((source) => source.name);
  checkNames(names);
  const metrics = new ServerMetrics({ prefix: flags.metricsPrefix, modelNames: names, kv });
  const pool = new ModelPool(sources, {
    ...(load.memoryBytes !== undefined && { budgetBytes: load.memoryBytes }),
    maxWaiting: maxWaiting.requests,
    collectGarbage,
    observer: {
      onLoaded(model, { llm }, ms) {
        loads.get(model)!.add(1, { outcome: "loaded" });
        logger.info({ model, ms: Math.round(ms), backend: llm.ops.name, notes: llm.notes }, "loaded");
      },
      onUnloaded: (model) => logger.info({ model }, "unloaded"),
      onLoadFailed(model, err) {
        loads.get(model)!.add(1, { outcome: "failed" });
        logger.error({ model, err }, "not loaded");
      },
      onFault: (model, err) => logger.error({ model, err }, "not freed"),
    },
  });
  const statsOf = (name: string): SchedulerStats => pool.listed(name).model?.scheduler.stats ?? NOTHING;
  const loads = new Map(
    names.map((name) => {
      const own = metrics.of(name);
      own.watch(() => statsOf(name));
      if (options.scheduler.pageStore) own.watchPageStore(() => statsOf(name));
      return [name, own.watchLoads(() => pool.listed(name).model !== null)] as const;
    }),
  );

  async function sourceOf(name: string | undefined, ref: string): Promise<ModelSource> {
    const { calibration, ...loadOptions } = load;
    const model = await withMetadata(ref, options.flags, options.context, readPlannedModel);
    const { weights } = planMemory(model, {
      memoryBytes: Number.MAX_SAFE_INTEGER,
      kv: [kv],
      weights: flags.weights,
      // The backend that is only for checking has no plans.
      backend: flags.backend === "reference" ? "wasm" : flags.backend,
    });
    const shown = name ?? model.name;
    return {
      name: shown,
      known: {
        kv,
        weightBytes: weights.bytes,
        vocabSize: model.vocabSize,
        contextLength: Math.min(load.contextLength ?? Number.POSITIVE_INFINITY, model.maxPositionEmbeddings),
        trainedContext: model.maxPositionEmbeddings,
        hiddenSize: model.hiddenSize,
        numLayers: model.numLayers ?? model.layers.length,
      },
      async load({ signal, onProgress, makeRoom }) {
        const llm = await LLM.load(ref, { ...loadOptions, onProgress, signal, onFit: makeRoom });
        if (flags.explain) explain(llm, context.io.stderr);
        const engine = await engineOf(llm, metrics.of(shown), { ...options, logger: naming(shown, logger) });
        engine.calibrateWhenIdle(calibration, () => pool.isIdle);
        return engine;
      },
    };
  }

  return {
    models: pool,
    metrics,
    get stats() {
      return sumOf(names.map(statsOf));
    },
    headline:
      `${names.join(", ")}: loaded when they are asked for${load.memoryBytes === undefined ? "" : `, at most ${formatBytes(load.memoryBytes)} together`}\n` +
      `KV cache ${kv}: at most ${formatBytes(load.kvBudgetBytes)} for each\n`,
    summary: { model: names[0]!, models: names, kv, kvBudgetBytes: load.kvBudgetBytes },
    drain: () => pool.drain(),
    close: () => pool.close(),
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}

/** A logger whose lines say which model they are about. */
const naming = (model: string, logger: Logger): Logger => ({
  info: (fields, message) => logger.info({ model, ...fields }, message),
  warn: (fields, message) => logger.warn({ model, ...fields }, message),
  error: (fields, message) => logger.error({ model, ...fields }, message),
});

/** The model is disposed of with the engine, or here where that cannot be made. */
async function engineOf(llm: LLM, metrics: ModelMetrics, options: ServedOptions): Promise<ModelEngine> {
  try {
    const text = textThreads(llm, options.maxWaiting.texts);
    return new ModelEngine(llm, {
      scheduler: { ...options.scheduler, observer: metrics },
      text,
      logger: options.logger,
    });
  } catch (error) {
    await llm.dispose();
    throw error;
  }
}

function textThreads(llm: LLM, maxWaiting: number): TextThreads {
  const files = async (): Promise<TokenizerFiles> => {
    const source = await llm.reopen();
    try {
      return await readTokenizerFiles((await openCheckpoint(source)).files);
    } finally {
      await source.close();
    }
  };
  return new TextThreads({ files, maxWaiting });
}

/** Of a model that is not in memory. */
const NOTHING: SchedulerStats = {
  running: 0,
  waiting: 0,
  preempted: 0,
  kvBytes: 0,
  kvBudgetBytes: 0,
  budgetPages: 0,
  savedBytes: 0,
  prefixEntries: 0,
  prefixEvictions: 0,
  coarsenedPages: 0,
  storeQueueBytes: 0,
};

function sumOf(all: readonly SchedulerStats[]): SchedulerStats {
  const keys = Object.keys(NOTHING) as (keyof SchedulerStats)[];
  return Object.fromEntries(
    keys.map((key) => [key, all.reduce((sum, stats) => sum + stats[key], 0)]),
  ) as unknown as SchedulerStats;
}
