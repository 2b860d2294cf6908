/** @file The public API. Codec and cache without the rest are `turboquant/quant` and `turboquant/cache`. */
export type { WeightType } from "./backends/ops.ts";
export type { GpuRange, GpuRows } from "./backends/outside-buffers.ts";
export type { BackendName } from "./backends/registry.ts";
export { AttentionCache, type AttentionCacheOptions } from "./engine/attention-cache.ts";
export { type BatchOptions, generateBatch } from "./engine/batch.ts";
export { type BeamHypothesis, type BeamSearchOptions, beamSearch } from "./engine/beam-search.ts";
export { CachedSequence } from "./engine/cached-sequence.ts";
export { calibrateWhenIdle, type IdleOptions } from "./engine/calibration/idle-calibration.ts";
export { type EmbedOptions, embed } from "./engine/embed.ts";
export {
  collect,
  type FinishReason,
  type GenerateOptions,
  type GenerationChunk,
  type GenerationResult,
  type Timings,
  type TokenLogprob,
  type Usage,
} from "./engine/generation.ts";
export type { Grammar, JsonSchema } from "./engine/grammar/grammar.ts";
export { LLM } from "./engine/llm.ts";
export { DEFAULT_KV, type LoadOptions } from "./engine/load-options.ts";
export type { PageStore, PageStoreOptions } from "./engine/page-store/page-store.ts";
export type { SamplingParams } from "./engine/sampling-params.ts";
export type { ScheduledChunk, ScheduleOptions } from "./engine/scheduler/request.ts";
export type { Pooling } from "./engine/scheduler/row-pool.ts";
export { Scheduler } from "./engine/scheduler/scheduler.ts";
export type { SchedulerOptions } from "./engine/scheduler/scheduler-options.ts";
export { Session } from "./engine/session.ts";
export type { DraftSource } from "./engine/speculation/draft-source.ts";
export type { Speculate, SpeculateOptions } from "./engine/speculation/speculation-options.ts";
export type { TokenConstraint } from "./engine/token-constraint.ts";
export { type ErrorCode, TurboQuantError } from "./errors.ts";
export { allocatedBytes, growingSequence } from "./eval/allocated-bytes.ts";
export type { FileSource } from "./formats/file-source.ts";
export { getPlatform, type OnProgress, type Platform, type ProgressEvent, setPlatform } from "./platform.ts";
export { type KvSpec, parseKvSpec } from "./quant/parse-kv-spec.ts";
export type { ChatMessage } from "./tokenizer/chat-template.ts";
