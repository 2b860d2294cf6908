/** @file Compares how text is cut by the pre-tokenizers that GGUF files name with the Rust tokenizers' cuts by the same patterns. */
import { PRE_TOKENIZERS, preTokenizerJson } from "../../src/formats/pre-tokenizers.ts";
import { makePreTokenizer } from "../../src/tokenizer/pipeline/pre-tokenizers.ts";
import type { Oracle } from "./oracle.ts";
import { TEXTS } from "./texts.ts";

export interface PreTokenizerRow {
  /** The names of one way to cut. */
  readonly names: readonly string[];
  readonly equal: number;
  readonly differences: readonly string[];
}

export async function comparePreTokenizers(oracle: Oracle): Promise<PreTokenizerRow[]> {
  const byJson = new Map<string, string[]>();
  for (const [name, pre] of Object.entries(PRE_TOKENIZERS)) {
    const json = JSON.stringify(preTokenizerJson(pre));
    byJson.set(json, [...(byJson.get(json) ?? []), name]);
  }
  const rows: PreTokenizerRow[] = [];
  for (const [json, names] of byJson) {
    const cut = makePreTokenizer(JSON.parse(json), "pre_tokenizer")!;
    const want = await oracle.ask<{ pieces?: string[][]; error?: string }>({
      pre_tokenizer: JSON.parse(json),
      texts: TEXTS,
    });
    if (!want.pieces) {
      rows.push({ names, equal: 0, differences: [`the Rust tokenizers refuse it: ${want.error}`] });
      continue;
    }
    const differences: string[] = [];
    for (const [index, text] of TEXTS.entries()) {
      const got = JSON.stringify(cut({ text, isFirst: true }).map((piece) => piece.text));
      const wanted = JSON.stringify(want.pieces[index]);
      if (got !== wanted) differences.push(`${JSON.stringify(text.slice(0, 60))}: ${got} for ${wanted}`);
    }
    rows.push({ names, equal: TEXTS.length - differences.length, differences });
  }
  return rows;
}
