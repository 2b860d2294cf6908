/** @file What the texts of older snapshots mean: names of formats that have since come to mean others. */
import { parseKvSpec } from "../quant/parse-kv-spec.ts";

/**
 * The spec of a format that had the name `text` while presets of our codes held sinks and window in 16 bits, 4 and 128 tokens, unless they said
 * `window=8bit`: snapshots of version 2. A text that is no spec is returned as it is.
 */
export function specOfVersion2(text: string): string {
  try {
    return parseKvSpec([text, ...widthOf(text)].join(",")).text;
  } catch {
    return text;
  }
}

function widthOf(text: string): string[] {
  if (text.startsWith("tiers=")) return [];
  if (!text.includes("window=8bit")) return ["window=16bit"];
  // Sinks in 8 bits were those of the preset without a window, and 16 beside one.
  if (text.includes("sinks=")) return [];
  const isOurs = /^k\d/.test(text);
  // Presets of others have none that they do not name.
  const hasWindow = isOurs ? !/\bwindow=0\b/.test(text) : /\bwindow=[1-9]\d*(?!\w)/.test(text);
  return isOurs === hasWindow ? [] : [`sinks=${isOurs ? 4 : 16}`];
}
