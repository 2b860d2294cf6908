/** @file One text through a model's own cache format and through f16: a quick check beside a generation. */
import type { LLM } from "../engine/llm.ts";
import { compareOnTokens, emptyRecord, makeContender } from "./compare.ts";
import { mean } from "./divergence.ts";
import { decodersFor } from "./evaluate.ts";
import { wilson } from "./intervals.ts";

export interface Agreement {
  readonly positions: number;
  /** Share of positions with the same most likely token. */
  readonly top1: number;
  /** Ends of its 95 % interval (Wilson). */
  readonly top1Low: number;
  readonly top1High: number;
  /** Mean KL(f16 ‖ own) in nats. */
  readonly kldMean: number;
  readonly kvBytes: number;
  readonly kvBytesF16: number;
}

export interface AgreementOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Feeds `tokens` to both, teacher forced, each from an empty cache. */
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
  const { low, high } = wilson(record.agreements, fed.length);
  return {
    positions: fed.length,
    top1: record.agreements / fed.length,
    top1Low: low,
    top1High: high,
    kldMean: mean(record.klds),
    kvBytes: record.kvBytes,
    kvBytesF16: baseRecord.kvBytes,
  };
}
