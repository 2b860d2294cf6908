/** @file A conversation of several turns over one session, which keeps its cache from turn to turn. */
import type { GenerateOptions, GenerationChunk } from "../../engine/generation.ts";
import type { LLM } from "../../engine/llm.ts";
import type { Session } from "../../engine/session.ts";
import { TurboQuantError } from "../../errors.ts";
import type { ChatMessage } from "../../tokenizer/chat-template.ts";
import { generateShifting } from "../context-shift.ts";

/** Placeholder answer, for finding out what a template puts after an answer. */
const PROBE = "An-answer-to-be-found-again";
/** Tokens that an answer is left where the context is nearly full, as a part of the context. */
const ROOM_PARTS = 4;

export interface AnswerOptions extends GenerateOptions {
  readonly maxNewTokens: number;
  /** Whether the oldest turns are forgotten when the context is full. Default false. */
  readonly shifts?: boolean;
  /** Called with the number of turns that are forgotten, or 0 where it is a part of this one. */
  readonly onForget?: (turns: number) => void;
}

export class Conversation {
  #llm: LLM;
  #system: string | undefined;
  #session: Session;
  /** Without the system message; null after `adopt`, when the history exists only in the cache. */
  #messages: ChatMessage[] | null = [];

  constructor(llm: LLM, system: string | undefined) {
    this.#llm = llm;
    this.#system = system;
    this.#session = llm.createSession();
  }

  get llm(): LLM {
    return this.#llm;
  }

  get session(): Session {
    return this.#session;
  }

  get system(): string | undefined {
    return this.#system;
  }

  /** What was said, oldest first; null where it is in the cache alone. */
  get messages(): readonly ChatMessage[] | null {
    return this.#messages;
  }

  /** Whether no more token fits. */
  get isFull(): boolean {
    return this.#session.tokens.length > this.#llm.runner.contextLength;
  }

  /** What the next answer is given before anything else. The conversation goes on with it, and is read anew. */
  setSystem(text: string | undefined): void {
    this.#known("/system");
    this.#system = text;
  }

  /**
   * Adds `text` as the user's turn and yields the answer. When the answer is stopped early, the conversation continues with the
   * part that was generated; if there is none, the turn is dropped.
   */
  async *answer(text: string, options: AnswerOptions): AsyncGenerator<GenerationChunk, void> {
    const { shifts = false, onForget, ...generate } = options;
    const messages = this.#messages;
    if (!messages) {
      yield* this.#session.generate(await this.#nextTurn(text), generate);
      return;
    }
    messages.push({ role: "user", content: text });
    let answer = "";
    try {
      if (shifts) await this.#makeRoom(messages, options.maxNewTokens, onForget);
      const ids = await this.#llm.encodeChat(this.#all(messages));
      const rest = ids.slice(this.#session.rewindTo(ids));
      const chunks = shifts
        ? generateShifting(this.#session, rest, generate, {
            contextLength: this.#llm.runner.contextLength,
            keep: await this.#systemTokens(ids),
            maxNewTokens: options.maxNewTokens,
            onShift: () => onForget?.(0),
          })
        : this.#session.generate(rest, generate);
      for await (const chunk of chunks) {
        answer += chunk.text;
        yield chunk;
      }
    } finally {
      if (answer) messages.push({ role: "assistant", content: answer });
      else messages.pop();
    }
  }

  /** What the user said last; undefined when there is no turn. */
  get lastSaid(): string | undefined {
    const said = this.#known("/regen").findLast(({ role }) => role === "user")?.content;
    return typeof said === "string" ? said : undefined;
  }

  /** Answers the last turn again. Where no new answer comes about, the turn stays as it was. */
  async *answerAgain(options: AnswerOptions): AsyncGenerator<GenerationChunk, void> {
    const messages = this.#known("/regen");
    const said = this.lastSaid;
    if (said === undefined) return;
    const turn = messages.splice(messages.findLastIndex(({ role }) => role === "user"));
    let isAnswered = false;
    try {
      for await (const chunk of this.answer(said, options)) {
        isAnswered ||= chunk.text !== "";
        yield chunk;
      }
    } finally {
      if (!isAnswered) messages.push(...turn);
    }
  }

  /** Takes the last turn back. returns: what the user said; undefined when there is no turn */
  undo(): string | undefined {
    const messages = this.#known("/undo");
    const at = messages.findLastIndex(({ role }) => role === "user");
    const said = at < 0 ? undefined : messages.splice(at)[0]!.content;
    return typeof said === "string" ? said : undefined;
  }

  reset(): void {
    this.#replace(this.#llm.createSession());
    this.#messages = [];
  }

  /** Continues over another cache, which the next answer fills by reading the conversation anew. */
  moveTo(llm: LLM): void {
    this.#known("/kv");
    this.#replace(llm.createSession());
    this.#llm = llm;
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

  #known(command: string): ChatMessage[] {
    if (this.#messages) return this.#messages;
    throw new TurboQuantError(
      "invalid_argument",
      `${command}: of a loaded conversation only the cache is known, and not what was said; /reset begins a new one`,
    );
  }

  #all(messages: readonly ChatMessage[]): ChatMessage[] {
    return [...(this.#system === undefined ? [] : [{ role: "system", content: this.#system }]), ...messages];
  }

  /** Where the oldest turns have to go, so many that it takes a while until it happens again: half of the context is left. */
  async #makeRoom(messages: ChatMessage[], maxNewTokens: number, onForget: AnswerOptions["onForget"]): Promise<void> {
    const { contextLength } = this.#llm.runner;
    const fits = async (most: number): Promise<boolean> =>
      (await this.#llm.encodeChat(this.#all(messages))).length <= most;
    const room = Math.min(maxNewTokens, Math.floor(contextLength / ROOM_PARTS));
    if (await fits(contextLength - room)) return;
    let turns = 0;
    for (;;) {
      const next = messages.findIndex(({ role }, i) => i > 0 && role === "user");
      if (next < 0) break;
      messages.splice(0, next);
      turns++;
      if (await fits(Math.floor(contextLength / 2))) break;
    }
    if (turns > 0) onForget?.(turns);
  }

  /** Tokens of the system message at the beginning of a prompt. */
  async #systemTokens(ids: readonly number[]): Promise<number> {
    if (this.#system === undefined) return 0;
    const other = await this.#llm.encodeChat(this.#all([{ role: "user", content: PROBE }]));
    let shared = 0;
    while (shared < ids.length && ids[shared] === other[shared]) shared++;
    return shared;
  }

  /** Tokens that the template puts between an answer and the next one, with `text` as the user's message. */
  async #nextTurn(text: string): Promise<number[]> {
    const { tokenizer } = this.#llm;
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
