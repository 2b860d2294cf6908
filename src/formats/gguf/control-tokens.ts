/** @file Tokens that are control tokens by their text, whatever a GGUF file says of their types and of which of them end a turn. */
import type { TokenList } from "../token-list.ts";

/** They end a turn also when the file names another token for that, as in llama.cpp; no text has them as a word. */
const ENDS = new Set([
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<|calls|>",
  "<|flush|>",
  "<end_of_turn>",
  "<turn|>",
  "<|tool_response>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<｜end▁of▁sentence｜>",
  "<end_of_utterance>",
  "[e~[",
  // Where a file holds another file or another part of a repository, a coder's answer is over.
  "<|fim_pad|>",
  "<|fim_repo|>",
  "<|repo_name|>",
  "<|file_sep|>",
]);
/** The same, where the file does not call them ordinary: texts have them too. */
const ENDS_UNLESS_ORDINARY = new Set([
  ...["<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<eos>", "</s>"],
  ...["<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<fim-repo>", "<REPO>", "<reponame>"],
]);

/** Converters have listed such tokens as ordinary ones, whose text would be spelled. */
export const controlTokens = (tokens: TokenList): number[] => idsOfAll(ENDS, tokens);

/** isSpecial: whether the file does not call the token ordinary */
export function endsByName(tokens: TokenList, isSpecial: (id: number) => boolean): number[] {
  const hasAll = (...names: string[]): boolean => names.every((name) => tokens.find(name) >= 0);
  // In the formats of gpt-oss and of Solar, messages end with it and answers go on.
  const endsMessage = hasAll("<|return|>", "<|call|>") || hasAll("<|flush|>", "<|calls|>");
  // Gemma 4 has it as text of a page.
  const endsNothing = hasAll("<|tool_response>");
  const none = new Set([...(endsMessage ? ["<|end|>"] : []), ...(endsNothing ? ["</s>"] : [])]);
  const ends = idsOfAll(ENDS, tokens, none);
  const others = idsOfAll(ENDS_UNLESS_ORDINARY, tokens, none);
  return [...ends, ...others.filter(isSpecial)].sort((a, b) => a - b);
}

const idsOfAll = (texts: Iterable<string>, tokens: TokenList, but?: ReadonlySet<string>): number[] =>
  [...texts].flatMap((text) => (but?.has(text) ? [] : tokens.idsOf(text)));
