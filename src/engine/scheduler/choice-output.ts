/** @file Turns logits into what a caller gets: prompt log-probabilities, tokens, and the last piece with usage and timings. */
import { segmentsOf } from "../../cache/segments.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { FinishReason, TokenLogprob } from "../generation.ts";
import type { LLM } from "../llm.ts";
import { argmax, logSumExp } from "../logits.ts";
import type { DraftedRows, DrawnRow } from "../speculation/drafted-rows.ts";
import { topIndices } from "../top-indices.ts";
import type { RequestReport, SchedulerObserver } from "./observer.ts";
import { type CacheReport, type Choice, pendingTokens } from "./request.ts";

/** Which rows a step over positions from `at` on has to return for a choice, as logits or as they are. */
export function wantedRows(choice: Choice, at: number, count: number): "none" | "last" | "all" {
  const { ids, options } = choice.request;
  const needsAll = options.promptLogprobs !== undefined || options.pooling === "mean";
  if (needsAll && at < ids.length) return "all";
  return at + count === choice.tokens.length ? "last" : "none";
}

/**
 * Records the log-probabilities of prompt tokens.
 *
 * logits: [rows][vocabSize] of the positions from `at` on
 */
export function scorePrompt(llm: LLM, { request }: Choice, at: number, logits: Float32Array): void {
  const { ids, promptLogprobs, options } = request;
  if (options.promptLogprobs === undefined || at >= ids.length) return;
  const { vocabSize } = llm.config;
  if (promptLogprobs.length === 0) promptLogprobs.push(null);
  for (let row = 0; (row + 1) * vocabSize <= logits.length; row++) {
    const next = at + row + 1;
    // A prompt that is read again after a preemption has its log-probabilities already.
    if (next >= ids.length || next < promptLogprobs.length) continue;
    const scores = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
    const logSum = logSumExp(scores, scores[argmax(scores)]!);
    const report = (token: number): TokenLogprob => ({
      token,
      text: llm.tokenizer.decode([token]),
      logprob: scores[token]! - logSum,
    });
    promptLogprobs.push({
      ...report(ids[next]!),
      top: topIndices(scores, options.promptLogprobs).map(report),
    });
  }
}

/**
 * Draws the next token of a choice and sends it to the reader, and those behind it while they are the ones that were drafted.
 *
 * row: what the first is drawn from · onRow: called while the sequence ends with the token that the next one is drawn behind · returns: the reason why the choice ended, null when it continues
 */
export function takeTokens(
  choice: Choice,
  row: DrawnRow,
  drafted: DraftedRows | null,
  observer: SchedulerObserver,
  onRow: () => void = () => {},
): FinishReason | null {
  if (drafted) choice.speculator?.onDrafted(drafted.tokens.length);
  let finish: FinishReason | null = null;
  for (let next: DrawnRow | null = row; next && !finish; ) {
    onRow();
    finish = takeToken(choice, next, drafted, observer);
    next = finish ? null : (drafted?.follow(choice.tokens.at(-1)!) ?? null);
    if (next) choice.speculator?.onAccepted();
  }
  if (drafted) observer.onDrafts?.(drafted.tokens.length, drafted.accepted);
  return finish;
}

/** As `takeTokens`, of the first token. */
function takeToken(
  choice: Choice,
  { logits, sample }: DrawnRow,
  drafted: DraftedRows | null,
  observer: SchedulerObserver,
): FinishReason | null {
  const { request, continuation } = choice;
  const { lastAt } = continuation;
  const { chunk, finishReason } = continuation.next(choice.tokens, logits, sample);
  // Pages for drafts are none of the answer's.
  if (finishReason) drafted?.drop();
  const now = continuation.lastAt;
  if (!request.firstAt) {
    request.firstAt = now;
    observer.onFirstToken?.(now - request.submittedAt);
    observer.onPrefixLookup?.(request.mayCache ? request.ids.length : 0, request.cachedTokens);
  }
  const isFirst = lastAt === 0;
  if (!isFirst) observer.onNextToken?.(now - lastAt);
  const { length } = choice.sequence!;
  const isTime = isFirst || finishReason !== null || length % PAGE_TOKENS === 0;
  const piece = { ...chunk, index: choice.index, slot: choice.slot, ...(isTime && cacheOf(choice)) };
  request.output.push(finishReason ? { ...piece, ...closing(choice, finishReason) } : piece);
  return finishReason;
}

/** Sends the last piece of a choice that ends without a token: aborted, scored only, or out of memory. */
export function pushLastPiece(choice: Choice, finishReason: FinishReason): void {
  const { request, index, slot, continuation } = choice;
  request.output.push({
    index,
    slot,
    text: continuation.flush(),
    ...cacheOf(choice),
    ...closing(choice, finishReason),
  });
}

/** Computed now, because the pages are released or become a cached prefix when the choice has ended. */
function cacheOf({ request, sequence }: Choice): { readonly cache?: CacheReport } {
  if (!request.options.reportsCache || !sequence) return {};
  return { cache: { tokens: sequence.length, layers: segmentsOf(sequence) } };
}

function closing({ request, continuation, speculator }: Choice, finishReason: FinishReason) {
  const { ids, cachedTokens, submittedAt, startedAt } = request;
  const fedTokens = ids.length - cachedTokens;
  const prompt = { promptTokens: ids.length, cachedTokens, rereadTokens: 0, fedTokens, submittedAt, startedAt };
  return { finishReason, ...continuation.figures(prompt, speculator) };
}

export function reportOf({ request }: Choice, finishReason: RequestReport["finishReason"]): RequestReport {
  const { submittedAt, startedAt, firstAt, choices } = request;
  const end = performance.now();
  return {
    isStarted: startedAt > 0,
    promptTokens: request.ids.length,
    cachedTokens: request.cachedTokens,
    completionTokens: choices.reduce((sum, choice) => sum + choice.continuation.completionTokens, 0),
    queueMs: (startedAt || end) - submittedAt,
    prefillMs: startedAt ? (firstAt || end) - startedAt : 0,
    decodeMs: firstAt ? end - firstAt : 0,
    totalMs: end - submittedAt,
    finishReason,
  };
}

/** Whether a choice has read its whole prompt and generated nothing yet. */
export const isAtPromptEnd = (choice: Choice): boolean =>
  pendingTokens(choice) === 0 && choice.tokens.length === choice.request.ids.length;
