/** @file Formats the lines of `--explain`. */
import type { LLM } from "../engine/llm.ts";
import { formatBytes, formatCount, formatRanges } from "../format-number.ts";
import { cacheKinds } from "../plan/cache-kinds.ts";
import { modelOfConfig } from "../plan/planned-model.ts";
import type { TextOutput } from "./io.ts";

export function explain(llm: LLM, out: TextOutput): void {
  const { config, decoder } = llm;
  if (llm.backendChoice) out.write(`backend auto: ${llm.backendChoice}\n`);
  out.write(`backend: ${llm.ops.describe()}\n`);
  for (const line of llm.ops.explain?.() ?? []) out.write(`  ${line}\n`);
  out.write(
    `model: ${llm.name}, ${config.modelType}, ${config.numLayers} layers, ${config.numHeads}/${config.numKvHeads} heads of ` +
      `${config.headDim}, weights ${formatBytes(decoder.weightBytes)}\n`,
  );
  const { contextLength } = llm.runner;
  out.write(`kv: ${decoder.kv.text}, up to ${formatCount(contextLength)} tokens\n`);
  const kinds = cacheKinds(modelOfConfig(config, llm.name), decoder.kv, contextLength);
  for (const { kind, layers, text, format, bytes } of kinds) {
    const all = bytes > 0 ? `, ${formatBytes(bytes)} a sequence of that length` : "";
    out.write(`  ${kind} (layers ${formatRanges(layers)}): ${text}${format ? ` as ${format}` : ""}${all}\n`);
  }
}
