/** @file For tests: an engine of the page that says what the test wants, and what the page then shows. */

import type { ChatOptions, Engine } from "../engine/engine.ts";
import { engineStore } from "../engine/engine-store.ts";
import type { ChatRequest, ChatResult, ModelInfo } from "../engine/protocol.ts";
import { chatStore } from "./chat-store.ts";

export const RESULT = {
  finishReason: "stop",
  usage: { promptTokens: 3, completionTokens: 2, cachedTokens: 1 },
  timings: { ttftMs: 5, decodeTokPerSec: 50 },
  cache: null,
} as unknown as ChatResult;

/** Answers as `chat` says; keeps what it was asked. */
export function useEngine(chat: (options: ChatOptions, request: ChatRequest) => Promise<ChatResult>): ChatRequest[] {
  const requests: ChatRequest[] = [];
  const engine: Engine = {
    where: "server",
    info: {} as ModelInfo,
    chat: (request, options) => {
      requests.push(request);
      return chat(options, request);
    },
    dispose() {},
  };
  engineStore.update((state) => ({ ...state, status: "ready", engine, info: { kv: "k4v4" } as ModelInfo }));
  return requests;
}

export const says =
  (...words: readonly string[]) =>
  async ({ onEvent }: ChatOptions): Promise<ChatResult> => {
    for (const [i, text] of words.entries()) onEvent({ type: "text", text, tokens: i + 1 });
    return RESULT;
  };

export const shown = (): string[] =>
  chatStore.get().current.messages.map(({ text, state }) => (state ? `${text} (${state})` : text));
