/** @file Checks the options of a request and creates its choices. */
import { checkTokens } from "../../backends/check-tokens.ts";
import { TurboQuantError } from "../../errors.ts";
import { Continuation } from "../continuation.ts";
import type { LLM } from "../llm.ts";
import { nthConfig, parseSamplingConfig } from "../sampling-params.ts";
import { parseSpeculation, type Speculate } from "../speculation/speculation-options.ts";
import { OutputQueue } from "./output-queue.ts";
import { pageHashes, saltedRoot } from "./page-hashes.ts";
import { type Choice, REQUEST_ONLY, type Request, type ScheduleOptions } from "./request.ts";
import { POOLINGS, RowPool } from "./row-pool.ts";

/** What the scheduler says of all requests. */
interface RequestSettings {
  readonly order: number;
  readonly maxRunning: number;
  readonly usesPrefixes: boolean;
  /** Of requests that do not say it themselves. */
  readonly speculate?: Speculate | undefined;
}

/** @throws TurboQuantError invalid_argument — a wrong option or token, or a prompt that does not fit the context */
export function makeRequest(
  llm: LLM,
  prompt: ArrayLike<number>,
  options: ScheduleOptions,
  { order, maxRunning, usesPrefixes, speculate }: RequestSettings,
): Request {
  const { n = 1, cachePrompt = true, promptLogprobs, scoreOnly, pooling } = options;
  const config = parseSamplingConfig(options, llm.samplingDefaults, REQUEST_ONLY);
  if (!Number.isInteger(n) || n < 1 || n > maxRunning) {
    throw new TurboQuantError("invalid_argument", `n: expected a whole number from 1 to ${maxRunning}, got ${n}`, {
      n,
    });
  }
  if (pooling !== undefined && !POOLINGS.includes(pooling)) {
    throw new TurboQuantError("invalid_argument", `pooling: expected ${POOLINGS.join(" or ")}, got ${pooling}`);
  }
  const speculation = parseSpeculation(options.speculate ?? speculate, llm);
  const ids = Array.from(prompt);
  checkPrompt(ids, llm, scoreOnly || pooling ? 0 : 1);
  const mayCache = usesPrefixes && cachePrompt && promptLogprobs === undefined && !pooling;
  const root = saltedRoot(options.owner ?? "");
  const request: Request = {
    ids,
    hashes: mayCache ? pageHashes(ids, [], root) : [],
    root,
    mayCache,
    options,
    output: new OutputQueue(),
    order,
    submittedAt: performance.now(),
    choices: [],
    promptLogprobs: [],
    pool: pooling ? new RowPool(pooling, llm.config.hiddenSize) : null,
    startedAt: 0,
    firstAt: 0,
    cachedTokens: 0,
    isCancelled: false,
    maxNewTokens: pooling ? 0 : config.maxNewTokens,
  };
  for (let index = 0; index < n; index++) {
    const choice: Choice = {
      request,
      index,
      continuation: new Continuation(llm, nthConfig(config, index)),
      speculator: speculation?.createSpeculator() ?? null,
      tokens: [...ids],
      sequence: null,
      saved: null,
      shared: null,
      slot: -1,
      isOver: false,
    };
    request.choices.push(choice);
  }
  return request;
}

/**
 * newTokens: the fewest that are to follow
 * @throws TurboQuantError invalid_argument — no tokens, a wrong one, or more than fit the context
 */
export function checkPrompt(ids: readonly number[], llm: LLM, newTokens: number): void {
  const { vocabSize } = llm.config;
  if (ids.length === 0) {
    throw new TurboQuantError("invalid_argument", "prompt: it is empty; pass at least one token");
  }
  checkTokens("prompt", ids, vocabSize);
  const { contextLength } = llm.runner;
  if (ids.length + newTokens <= contextLength + 1) return;
  throw new TurboQuantError(
    "invalid_argument",
    `prompt: ${ids.length} tokens do not fit the context of ${contextLength}; shorten it`,
    { tokens: ids.length, contextLength },
  );
}
