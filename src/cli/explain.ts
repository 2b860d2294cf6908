/** @file Formats the lines of `--explain`. */
import type { LLM } from "../engine/llm.ts";
import { formatBytes } from "../format-number.ts";
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
  const states = llm.cache.slots.filter(({ fixedBytes }) => fixedBytes > 0);
  if (states.length > 0) {
    const bytes = states.reduce((sum, { fixedBytes }) => sum + fixedBytes, 0);
    out.write(
      `states: ${states.length} of fixed size in f32, ${formatBytes(bytes)} a sequence; no format compresses them\n`,
    );
  }
  out.write(`kv: ${decoder.kv.text}, up to ${llm.runner.contextLength.toLocaleString("en-US")} tokens\n`);
}
