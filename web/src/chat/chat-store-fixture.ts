/** @file For tests: a page without anything kept, an engine of it that says what the test wants, and what the page then shows. */
import { IDBObjectStore } from "fake-indexeddb";
import { vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import type { ChatOptions, Engine } from "../engine/engine.ts";
import { engineStore } from "../engine/engine-store.ts";
import type { ChatRequest, ChatResult, ModelInfo } from "../engine/protocol.ts";
import { chatStore, openChats, startNew } from "./chat-store.ts";

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

/** Nothing is kept, and a new conversation is shown; `vi.unstubAllGlobals` undoes it. */
export function beginWithNothingKept(): void {
  vi.stubGlobal("localStorage", memoryStorage());
  vi.stubGlobal("sessionStorage", memoryStorage());
  vi.stubGlobal("addEventListener", () => {});
  vi.stubGlobal("navigator", {});
  chatStore.update((state) => ({ ...state, others: [], notice: "" }));
  startNew();
}

/** Opens the page while the storage takes nothing more. */
export async function openWhileFull(): Promise<void> {
  const full = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
    throw new DOMException("no room", "QuotaExceededError");
  });
  try {
    await openChats();
  } finally {
    full.mockRestore();
  }
}
