/** @file Log-probabilities in the forms of OpenAI's two endpoints. */
import type { TokenLogprob } from "../engine/generation.ts";
import type { PromptLogprob, ScheduledChunk } from "../engine/scheduler/request.ts";

const encoder = new TextEncoder();

const chatToken = ({ text, logprob }: { text: string; logprob: number }) => ({
  token: text,
  logprob,
  bytes: [...encoder.encode(text)],
});

/** An entry of `choices[].logprobs.content` of a chat. top: number of alternatives that were asked for */
export function chatLogprob(text: string, chunk: ScheduledChunk, top: number) {
  const likely = (chunk.topLogprobs ?? []).slice(0, top);
  return { ...chatToken({ text, logprob: chunk.logprob ?? 0 }), top_logprobs: likely.map(chatToken) };
}

/** `choices[].logprobs` of a completion: parallel lists with one entry for each token. */
export interface CompletionLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

export const emptyLogprobs = (): CompletionLogprobs => ({
  tokens: [],
  token_logprobs: [],
  top_logprobs: [],
  text_offset: [],
});

/** Alternatives by text. Different tokens can have the same text (halves of characters); the likelier one is listed. */
function topByText(own: TokenLogprob, top: readonly TokenLogprob[]): Record<string, number> {
  const byText: Record<string, number> = {};
  for (const { text, logprob } of [...top, own])
    byText[text] = Math.max(byText[text] ?? Number.NEGATIVE_INFINITY, logprob);
  return byText;
}

/**
 * Appends a token. offset: number of characters before it
 * returns: number of characters before the next token
 */
export function pushLogprob(
  to: CompletionLogprobs,
  token: TokenLogprob,
  top: readonly TokenLogprob[],
  offset: number,
): number {
  to.tokens.push(token.text);
  to.token_logprobs.push(token.logprob);
  to.top_logprobs.push(topByText(token, top));
  to.text_offset.push(offset);
  return offset + token.text.length;
}

/** Log-probabilities of a prompt, whose first token has none. firstText: text of that token */
export function promptLogprobs(entries: readonly PromptLogprob[], firstText: string): CompletionLogprobs {
  const to = emptyLogprobs();
  let offset = 0;
  for (const entry of entries) {
    if (entry) {
      offset = pushLogprob(to, entry, entry.top, offset);
      continue;
    }
    to.tokens.push(firstText);
    to.token_logprobs.push(null);
    to.top_logprobs.push(null);
    to.text_offset.push(offset);
    offset += firstText.length;
  }
  return to;
}
