/** @file Compares a model's own cache format with f16 on one text, as a quick check beside a generation. */
import type { LLM } from "../engine/llm.ts";
import { agreements, compareOnTokens, emptyRecord, makeContender } from "./compare.ts";
import { mean } from "./divergence.ts";
import { decodersFor } from "./evaluate.ts";
import { wilson } from "./intervals.ts";

export interface Agreement {
  readonly positions: number;
  /** Share of positions where both have the same most likely token. */
  readonly top1: number;
  /** Bounds of the 95 % interval of `top1` (Wilson). */
  readonly top1Low: number;
  readonly top1High: number;
  /** Mean KL(f16 ‖ own format) in nats. */
  readonly kldMean: number;
  readonly kvBytes: number;
  readonly kvBytesF16: number;
}

export interface AgreementOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Feeds `tokens` to both formats, teacher forced, each from an empty cache. */
export async function agreementWithF16(
  llm: LLM,
  tokens: ArrayLike<number>,
  options: AgreementOptions = {},
): Promise<Agreement> {
  const fed = Int32Array.from(tokens).subarray(0, llm.runner.contextLength);
  const [f16] = await decodersFor(llm, ["f16"]);
  const [base, own] = [makeContender(f16!, fed.length), makeContender(llm.decoder, fed.length)];
  const [baseRecord, record] = [emptyRecord(), emptyRecord()];
  try {
    await compareOnTokens(fed, base, baseRecord, [own], [record], {
      signal: options.signal,
      onTokens: (done) => options.onProgress?.(done, fed.length * 2),
    });
  } finally {
    f16!.dispose();
  }
  const same = agreements(record);
  const { low, high } = wilson(same, fed.length);
  return {
    positions: fed.length,
    top1: same / fed.length,
    top1Low: low,
    top1High: high,
    kldMean: mean(record.klds),
    kvBytes: record.kvBytes,
    kvBytesF16: baseRecord.kvBytes,
  };
}
