/**
 * @file The answers that are being written, one a conversation. They go on whatever the page shows.
 */
import type { Engine } from "../engine/engine.ts";
import type { CacheState, ChatEvent, ModelInfo, PlainError, Sampling } from "../engine/protocol.ts";
import { plainError } from "../engine/rpc.ts";
import { type Conversation, changeAnswer, type Message, promptOf } from "./conversation.ts";
import { type Prefill, secondsLeft } from "./prefill.ts";

/** Time between two updates of the text that is shown. */
const SHOW_INTERVAL_MS = 40;

type Timings = Awaited<ReturnType<Engine["chat"]>>["timings"];

/** What the owner does when an answer grows. */
export interface AnswerEvents {
  /** now: save it at once */
  readonly onChange: (conversation: Conversation, now: boolean) => void;
  readonly onPrefill: (id: string, prefill: Prefill | null) => void;
  readonly onCache: (id: string, cache: CacheState | null) => void;
  /** tokens: of this answer so far · timings: at its end */
  readonly onSpeed: (id: string, tokens: number, timings?: Timings) => void;
  readonly onFailure: (error: PlainError) => void;
}

interface Live {
  conversation: Conversation;
  prefill: Prefill | null;
  cache: CacheState | null;
  readonly controller: AbortController;
}

export class Answers {
  readonly #events: AnswerEvents;
  readonly #live = new Map<string, Live>();

  constructor(events: AnswerEvents) {
    this.#events = events;
  }

  /** The conversation as it is now with the answer so far; undefined when none is being written. */
  get(id: string): Readonly<Omit<Live, "controller">> | undefined {
    return this.#live.get(id);
  }

  stop(id: string): void {
    this.#live.get(id)?.controller.abort();
  }

  /** Takes over what another tab has added to a conversation that is being answered here. */
  merge(conversation: Conversation): void {
    const live = this.#live.get(conversation.id);
    if (live) live.conversation = conversation;
  }

  /** The conversation was deleted: its answer ends, and nothing of it is told any more. */
  drop(id: string): void {
    this.stop(id);
    this.#live.delete(id);
  }

  /** Writes the last message of the conversation, which is an empty answer. Never rejects: errors go into the message. */
  async write(conversation: Conversation, engine: Engine, info: ModelInfo, sampling: Sampling): Promise<void> {
    const { id } = conversation;
    const answerId = conversation.messages.at(-1)!.id;
    const live: Live = { conversation, prefill: null, cache: null, controller: new AbortController() };
    this.#live.set(id, live);
    const isLive = (): boolean => this.#live.get(id) === live;
    const change = (update: Partial<Message>, now = false): void => {
      if (!isLive()) return;
      live.conversation = changeAnswer(live.conversation, answerId, update);
      this.#events.onChange(live.conversation, now);
    };
    const showPrefill = (prefill: Prefill | null): void => {
      live.prefill = prefill;
      if (isLive()) this.#events.onPrefill(id, prefill);
    };
    const showCache = (cache: CacheState | null): void => {
      live.cache = cache;
      if (isLive()) this.#events.onCache(id, cache);
    };
    let text = "";
    // Tokens may arrive faster than the page can be laid out, so all that arrived since the last update are shown together.
    let timer: ReturnType<typeof setTimeout> | null = null;
    const showText = (): void => {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      if (live.prefill) showPrefill(null);
      change({ text });
    };
    let firstRead: { readonly at: number; readonly done: number } | null = null;
    const onPrefill = (done: number, total: number): void => {
      const now = performance.now();
      firstRead ??= { at: now, done };
      const since = { ms: now - firstRead.at, done: firstRead.done };
      showPrefill({ done, total, secondsLeft: secondsLeft(done, total, since) });
    };
    const onEvent = (event: ChatEvent): void => {
      if (event.type === "prefill") onPrefill(event.done, event.total);
      else if (event.type === "cache") showCache(event.cache);
      else {
        text += event.text;
        if (isLive()) this.#events.onSpeed(id, event.tokens);
        timer ??= setTimeout(showText, SHOW_INTERVAL_MS);
      }
    };
    let end: Partial<Message>;
    try {
      const request = { conversation: id, messages: promptOf(conversation), sampling };
      const result = await engine.chat(request, { onEvent, signal: live.controller.signal }).finally(showText);
      const { finishReason, usage, timings, cache } = result;
      end = {
        state: finishReason === "stop" ? "done" : finishReason === "length" ? "cut" : "stopped",
        figures: {
          tokens: usage.completionTokens,
          promptTokens: usage.promptTokens,
          cachedTokens: usage.cachedTokens,
          ttftMs: timings.ttftMs,
          tokPerSec: timings.decodeTokPerSec,
          kv: info.kv,
        },
      };
      showCache(cache);
      if (isLive()) this.#events.onSpeed(id, usage.completionTokens, timings);
    } catch (error) {
      const plain = plainError(error);
      end = plain.code === "aborted" ? { state: "stopped" } : { state: "interrupted", problem: plain.message };
      if (plain.code === "device_lost") this.#events.onFailure(plain);
    }
    if (!isLive()) return;
    const last = changeAnswer(live.conversation, answerId, end);
    // The owner asks for the state when it is told, and finds no answer any more.
    this.#live.delete(id);
    this.#events.onChange(last, true);
  }
}
