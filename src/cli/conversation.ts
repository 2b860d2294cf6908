/** @file A conversation of several turns over one session, which keeps its cache from turn to turn. */
import type { GenerateOptions, GenerationChunk } from "../engine/generation.ts";
import type { LLM } from "../engine/llm.ts";
import type { Session } from "../engine/session.ts";
import { TurboQuantError } from "../errors.ts";
import type { ChatMessage } from "../tokenizer/chat-template.ts";

/** Placeholder answer, for finding out what a template puts after an answer. */
const PROBE = "An-answer-to-be-found-again";

export class Conversation {
  readonly llm: LLM;
  readonly #system: readonly ChatMessage[];
  #session: Session;
  /** null after `adopt`, when the history exists only in the cache. */
  #messages: ChatMessage[] | null;

  constructor(llm: LLM, system: string | undefined) {
    this.llm = llm;
    this.#system = system === undefined ? [] : [{ role: "system", content: system }];
    this.#session = llm.createSession();
    this.#messages = [...this.#system];
  }

  get session(): Session {
    return this.#session;
  }

  /**
   * Adds `text` as the user's turn and yields the answer. When the answer is stopped early, the conversation continues with the
   * part that was generated; if there is none, the turn is dropped.
   */
  async *answer(text: string, options: GenerateOptions): AsyncGenerator<GenerationChunk, void> {
    const messages = this.#messages;
    if (!messages) {
      yield* this.#session.generate(await this.#nextTurn(text), options);
      return;
    }
    messages.push({ role: "user", content: text });
    let answer = "";
    try {
      for await (const chunk of this.#session.chat(messages, options)) {
        answer += chunk.text;
        yield chunk;
      }
    } finally {
      if (answer) messages.push({ role: "assistant", content: answer });
      else messages.pop();
    }
  }

  reset(): void {
    this.#replace(this.llm.createSession());
    this.#messages = [...this.#system];
  }

  /** Continues with a restored session. Its messages are not known, and are not needed. */
  adopt(session: Session): void {
    this.#replace(session);
    this.#messages = null;
  }

  release(): void {
    this.#session.release();
  }

  #replace(session: Session): void {
    this.#session.release();
    this.#session = session;
  }

  /** Tokens that the template puts between an answer and the next one, with `text` as the user's message. */
  async #nextTurn(text: string): Promise<number[]> {
    const { tokenizer } = this.llm;
    const rendered = await tokenizer.applyChatTemplate(
      [
        { role: "user", content: "." },
        { role: "assistant", content: PROBE },
        { role: "user", content: text },
      ],
      { addGenerationPrompt: true },
    );
    const at = rendered.indexOf(PROBE);
    if (at < 0) {
      throw new TurboQuantError(
        "unsupported",
        "chat: this model's template hides earlier answers, so a loaded cache cannot go on; /reset",
      );
    }
    const ids = tokenizer.encode(rendered.slice(at + PROBE.length), { addSpecialTokens: false });
    // An answer that ended by itself has its end marker in the cache already.
    return this.#session.tokens.at(-1) === ids[0] ? ids.slice(1) : ids;
  }
}
