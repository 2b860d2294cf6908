/** @file What measures formats needs layers that have them. */
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";

/** Whether any layer has keys and values, and so a format. */
export const hasKv = ({ cache }: Pick<LLM, "cache">): boolean => cache.layers.length > 0;

/**
 * what: the command, for the message
 * @throws TurboQuantError unsupported — a model of states of fixed size alone
 */
export function requireKv(llm: LLM, what: string): void {
  if (hasKv(llm)) return;
  throw new TurboQuantError(
    "unsupported",
    `${what}: ${llm.name} has no layer with keys and values, only states of fixed size in f32, which no format changes; run it as it is`,
    { model: llm.config.modelType },
  );
}
