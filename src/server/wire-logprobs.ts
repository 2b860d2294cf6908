/** @file Log-probabilities in the forms of OpenAI's two endpoints. */
import type { TokenLogprob } from "../engine/generation.ts";
import type { ScheduledChunk } from "../engine/scheduler/request.ts";
import type { DecodeStream, Tokenizer } from "../tokenizer/tokenizer.ts";

/** `bytes` are the token's own, which clients join where a character has several tokens. */
const chatToken = (tokenizer: Tokenizer, { token, text, logprob }: TokenLogprob) => ({
  token: text,
  logprob,
  bytes: [...tokenizer.tokenBytes(token)],
});

/** An entry of `choices[].logprobs.content` of a chat. token: of the piece · top: number of alternatives that were asked for */
export function chatLogprob(tokenizer: Tokenizer, token: number, chunk: ScheduledChunk, top: number) {
  const own = { token, text: tokenizer.decode([token]), logprob: chunk.logprob ?? 0 };
  const likely = (chunk.topLogprobs ?? []).slice(0, top);
  return { ...chatToken(tokenizer, own), top_logprobs: likely.map((one) => chatToken(tokenizer, one)) };
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

/** Writes the lists of one text: a prompt that is echoed with its continuation, or a continuation alone. */
export class LogprobWriter {
  readonly #tokenizer: Tokenizer;
  /** The text so far, as far as it is certain: characters of several tokens begin with the first of them. */
  readonly #text: DecodeStream;
  #offset = 0;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.#text = tokenizer.createStream({ skipSpecialTokens: false });
  }

  /** Goes past tokens that are not listed. */
  skip(tokens: readonly number[]): void {
    for (const token of tokens) this.#offset += this.#text.push(token).length;
  }

  /** logprob: null for the first token of a prompt, which nothing precedes */
  push(to: CompletionLogprobs, token: number, logprob: number | null, top: readonly TokenLogprob[]): void {
    const own = { token, logprob: logprob ?? 0 };
    to.tokens.push(this.#name(token));
    to.token_logprobs.push(logprob);
    to.top_logprobs.push(logprob === null ? null : this.#byName([...top, own]));
    to.text_offset.push(this.#offset);
    this.skip([token]);
  }

  /** A part of a character has no text of its own and is named by its bytes, as OpenAI names it. */
  #name(token: number): string {
    const text = this.#tokenizer.decode([token]);
    if (!text.includes("\ufffd")) return text;
    const bytes = this.#tokenizer.tokenBytes(token);
    return isText(bytes)
      ? text
      : `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  }

  /** Different tokens can have the same text; the likelier one is listed. */
  #byName(entries: readonly Pick<TokenLogprob, "token" | "logprob">[]): Record<string, number> {
    // Without a prototype, whose `constructor` and the like would be taken for entries.
    const byName: Record<string, number> = Object.create(null);
    for (const { token, logprob } of entries) {
      const name = this.#name(token);
      byName[name] = Math.max(byName[name] ?? Number.NEGATIVE_INFINITY, logprob);
    }
    return byName;
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });

function isText(bytes: Uint8Array): boolean {
  try {
    UTF8.decode(bytes);
    return true;
  } catch {
    return false;
  }
}
