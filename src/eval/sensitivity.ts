/** @file Measures the cost of quantizing one side of one layer alone: the mean KL divergence when everything else is exact. */
import type { LLM } from "../engine/llm.ts";
import { attentionLayersOf, layoutOf } from "../models/layout.ts";
import type { OnProgress } from "../platform.ts";
import { compareOnTokens, emptyRecord, makeContender } from "./compare.ts";
import { mean } from "./divergence.ts";
import { decodersFor } from "./format-decoders.ts";
import { type Recipe, specOfOne } from "./layer-spec.ts";

export interface Sensitivity {
  readonly layer: number;
  readonly side: "k" | "v";
  readonly bits: number;
  /** In nats. */
  readonly kldMean: number;
}

export interface SensitivityOptions {
  readonly base: string;
  readonly recipe: Recipe;
  readonly bits: readonly number[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Number of formats fed together. They share one run of the base, and each has a cache of nearly the base's size. */
const GROUP = 12;

/** Of layers with keys and values. Results come in the order of layers, sides (K first) and widths. */
export async function measureSensitivity(
  llm: LLM,
  pieces: readonly Int32Array[],
  { base, recipe, bits, signal, onProgress }: SensitivityOptions,
): Promise<Sensitivity[]> {
  const cases = [...new Set(attentionLayersOf(layoutOf(llm.config)))].flatMap((layer) =>
    (["k", "v"] as const).flatMap((side) => bits.map((own) => ({ layer, side, bits: own }))),
  );
  const results: Sensitivity[] = [];
  const perPiece = pieces[0]!.length;
  const groups = Math.ceil(cases.length / GROUP);
  const total = perPiece * pieces.length * (cases.length + groups);
  let before = 0;
  for (let at = 0; at < cases.length; at += GROUP) {
    const group = cases.slice(at, at + GROUP);
    const specs = group.map((c) => specOfOne(recipe, c.layer, c.side, c.bits));
    const decoders = await decodersFor(llm, [base, ...specs]);
    try {
      const [exact, ...others] = decoders.map((decoder) => makeContender(decoder, perPiece));
      const records = others.map(emptyRecord);
      for (const piece of pieces) {
        await compareOnTokens(piece, exact!, emptyRecord(), others, records, {
          signal,
          onTokens: (done) =>
            onProgress?.({
              phase: "eval",
              item: `one side of one layer at a time, ${at + group.length} of ${cases.length}`,
              done: before + done,
              total,
              unit: "tokens",
            }),
        });
        before += perPiece * decoders.length;
      }
      results.push(...group.map((c, i) => ({ ...c, kldMean: mean(records[i]!.klds) })));
    } finally {
      for (const decoder of decoders) decoder.dispose();
    }
  }
  return results;
}
