/** @file Compares ids and texts with the Rust tokenizers. */
import { readFileSync } from "node:fs";
import type { TurboQuantError } from "../../src/errors.ts";
import { type FileSource, MemorySource } from "../../src/formats/index.ts";
import { loadTokenizer, type Tokenizer } from "../../src/tokenizer/index.ts";
import type { Oracle } from "./oracle.ts";
import { aroundToken, randomIds, TEXTS } from "./texts.ts";

export interface TokenizerRow {
  readonly name: string;
  /** Texts and lists of ids that are equal. */
  readonly equal: number;
  /** What is refused, as a whole. */
  readonly refused: string | null;
  readonly differences: readonly string[];
}

interface Answer {
  readonly ids: number[][];
  readonly whole: number[][];
  readonly decoded: string[];
  readonly error?: string;
}

const RANDOM_LISTS = 60;
/** Texts whose ids are also compared with what the tokenizer puts around them. */
const WHOLE_TEXTS = 8;

function textsOf(json: string): string[] {
  const { added_tokens: added = [] } = JSON.parse(json) as { added_tokens?: { content: string }[] };
  const chosen = [...added.slice(0, 3), ...added.slice(-3)].map(({ content }) => content);
  return [...TEXTS, ...[...new Set(chosen)].flatMap(aroundToken)];
}

/** path: of a tokenizer.json */
export async function compareTokenizer(name: string, path: string, oracle: Oracle): Promise<TokenizerRow> {
  const json = readFileSync(path, "utf8");
  let tokenizer: Tokenizer;
  try {
    tokenizer = await loadTokenizer(new MemorySource({ "tokenizer.json": json }) as FileSource);
  } catch (cause) {
    return { name, equal: 0, refused: (cause as TurboQuantError).message, differences: [] };
  }
  const texts = textsOf(json);
  const lists = randomIds(tokenizer.vocabSize, RANDOM_LISTS);
  const want = await oracle.ask<Answer>({ tokenizer: path, texts, lists });
  if (want.error)
    return { name, equal: 0, refused: null, differences: [`the Rust tokenizers refuse it: ${want.error}`] };
  let equal = 0;
  const differences: string[] = [];
  const check = (what: string, got: unknown, wanted: unknown): void => {
    if (JSON.stringify(got) === JSON.stringify(wanted)) equal++;
    else differences.push(`${what}: ${JSON.stringify(got)} for ${JSON.stringify(wanted)}`);
  };
  for (const [index, text] of texts.entries()) {
    const shown = JSON.stringify(text.slice(0, 60));
    check(`encode ${shown}`, encoded(tokenizer, text, false), want.ids[index]);
    if (index < WHOLE_TEXTS) check(`encode ${shown} as a whole`, encoded(tokenizer, text, true), want.whole[index]);
  }
  for (const [index, ids] of [...want.ids, ...lists].entries()) {
    check(`decode ${JSON.stringify(ids.slice(0, 12))}`, tokenizer.decode(ids), want.decoded[index]);
  }
  return { name, equal, refused: null, differences };
}

function encoded(tokenizer: Tokenizer, text: string, addSpecialTokens: boolean): number[] | string {
  try {
    return tokenizer.encode(text, { addSpecialTokens });
  } catch (cause) {
    return (cause as Error).message;
  }
}
