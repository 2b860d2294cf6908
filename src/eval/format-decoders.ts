/** @file Decoders of several KV formats over the weights of one model. */
import type { LLM } from "../engine/llm.ts";
import type { Decoder } from "../models/decoder.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";

/** One decoder for each spec, over the weights of `llm`, with the calibration that the spec asks for. */
export async function decodersFor(llm: LLM, specs: readonly string[]): Promise<Decoder[]> {
  const decoders: Decoder[] = [];
  for (const spec of specs.map(parseKvSpec)) {
    decoders.push(llm.decoder.withFormat(spec, await llm.loadCalibration(spec)));
  }
  return decoders;
}

/**
 * Looks for the calibrations that specs name, before a text is written for them.
 * @throws TurboQuantError invalid_argument — there is none under a name; invalid_file, unsupported — it is not one of this model
 */
export async function checkCalibrations(llm: LLM, specs: readonly string[]): Promise<void> {
  for (const spec of specs) await llm.loadCalibration(parseKvSpec(spec));
}
