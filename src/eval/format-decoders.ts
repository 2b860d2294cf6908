/** @file Decoders of several KV formats over the weights of one model. */
import type { LLM } from "../engine/llm.ts";
import { loadCalibration } from "../models/calibration-file.ts";
import type { Decoder } from "../models/decoder.ts";
import { getPlatform } from "../platform.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";

/** A decoder a spec over the weights of `llm`, each with the calibration its spec asks for. */
export async function decodersFor(llm: LLM, specs: readonly string[]): Promise<Decoder[]> {
  const parsed = specs.map(parseKvSpec);
  const source = parsed.some((spec) => spec.calibration !== "off") ? await getPlatform().openSource(llm.name) : null;
  try {
    const decoders: Decoder[] = [];
    for (const spec of parsed) {
      const calibration = source ? await loadCalibration(source, spec.calibration, llm.config) : [];
      decoders.push(llm.decoder.withFormat(spec, calibration));
    }
    return decoders;
  } finally {
    await source?.close();
  }
}
