/** @file The store of all conversations and the current one: sending, stopping, answering again, saving. */
import { engineStore, plainError, recoverEngine, setCache, tabEngine } from "../engine/engine-store.ts";
import type { ChatEvent, Restored } from "../engine/protocol.ts";
import { readSaved, save } from "../ui/saved.ts";
import { createStore } from "../ui/store.ts";
import {
  ask,
  type Conversation,
  changeAnswer,
  edit,
  markInterrupted,
  newConversation,
  newId,
  promptOf,
  regenerate,
  titleFrom,
} from "./conversation.ts";
import { type ConversationDb, openConversationDb } from "./conversation-db.ts";
import { Keeper } from "./keeper.ts";
import { samplingOf, settingsStore } from "./settings.ts";
import { noteSpeed, resetSpeed } from "./speed.ts";

export interface ChatState {
  readonly current: Conversation;
  /** All conversations as last saved, the current one included, the newest first. */
  readonly others: readonly Conversation[];
  readonly isAnswering: boolean;
  /** While the prompt is read: tokens that are in the cache already, and all tokens. */
  readonly prefill: { readonly done: number; readonly total: number } | null;
  /** A message that is shown once, when conversations cannot be saved. */
  readonly notice: string;
}

export const chatStore = createStore<ChatState>({
  current: newConversation(),
  others: [],
  isAnswering: false,
  prefill: null,
  notice: "",
});

/** Time between two updates of the text that is shown. */
const SHOW_INTERVAL_MS = 40;

let db: ConversationDb | null = null;
let keeper: Keeper | null = null;
let answering: AbortController | null = null;
let noted = "";

const patch = (change: Partial<ChatState>): void => chatStore.update((state) => ({ ...state, ...change }));

/** Shows a conversation and saves it; every change goes through here. */
function show(conversation: Conversation, now = false): void {
  const { others } = chatStore.get();
  const isKept = conversation.messages.length > 0;
  const list = isKept
    ? [conversation, ...others.filter(({ id }) => id !== conversation.id)].sort((a, b) => b.updatedAt - a.updatedAt)
    : others;
  patch({ current: conversation, others: list });
  if (isKept) keeper?.keep(conversation, now);
  noteCurrent(conversation.id);
}

/** Remembers which conversation to show after a reload. */
function noteCurrent(id: string): void {
  if (id === noted) return;
  noted = id;
  save("conversation", id);
}

/** Opens the database and continues after a reload that interrupted an answer. */
export async function openChats(): Promise<void> {
  db = await openConversationDb();
  keeper = new Keeper(db, (error) =>
    patch({ notice: `Conversations cannot be kept: ${error instanceof Error ? error.message : error}.` }),
  );
  if (!db.isLasting) patch({ notice: "This browser does not keep data for the page: conversations end with the tab." });
  await keeper.recover();
  const kept = (await db.all()).map((c) => markInterrupted(c, "The page was reloaded while this answer was written."));
  const last = readSaved("conversation", (value): value is string => typeof value === "string");
  const current = kept.find(({ id }) => id === last);
  patch({ others: kept, ...(current && { current }) });
  addEventListener("pagehide", () => keeper?.leave());
}

export function startNew(): void {
  stopAnswer();
  setCache(null);
  resetSpeed();
  const { system } = settingsStore.get();
  show(newConversation(system));
}

export function openConversation(id: string): void {
  const conversation = chatStore.get().others.find((c) => c.id === id);
  if (!conversation || conversation.id === chatStore.get().current.id) return;
  stopAnswer();
  setCache(null);
  resetSpeed();
  patch({ current: conversation });
  noteCurrent(id);
}

export async function deleteConversation(id: string): Promise<void> {
  const { current, others } = chatStore.get();
  if (current.id === id) startNew();
  patch({ others: others.filter((c) => c.id !== id) });
  keeper?.drop(id);
  tabEngine()?.forget(id);
  await db?.delete(id);
}

export function stopAnswer(): void {
  answering?.abort();
}

/** title: for a new conversation; by default the beginning of the text */
export const sendMessage = (text: string, title?: string): Promise<void> =>
  answer(ask({ ...chatStore.get().current, system: settingsStore.get().system }, text, Date.now(), title));

export const editMessage = (messageId: string, text: string): Promise<void> =>
  answer(edit(chatStore.get().current, messageId, text));

export const answerAgain = (messageId: string): Promise<void> => answer(regenerate(chatStore.get().current, messageId));

/** Makes the messages of a restored cache the current conversation. */
export function adoptRestored(id: string, { messages, system, cache }: Restored): void {
  const first = messages.find(({ role }) => role === "user");
  const restored = messages.map(({ role, text }) => ({ id: newId(), role, text }));
  show({ id, title: titleFrom(first?.text ?? ""), updatedAt: Date.now(), system, messages: restored }, true);
  resetSpeed();
  setCache(cache);
}

async function answer(conversation: Conversation): Promise<void> {
  const { engine, info } = engineStore.get();
  const last = conversation.messages.at(-1);
  if (!engine || !info || chatStore.get().isAnswering || last?.state !== "streaming") return;
  const own = new AbortController();
  answering = own;
  let at = conversation;
  const change = (update: Parameters<typeof changeAnswer>[2], now = false): void => {
    at = changeAnswer(at, last.id, update);
    // The user may have opened another conversation; this one is saved in any case.
    if (chatStore.get().current.id === at.id) show(at, now);
    else keeper?.keep(at, true);
  };
  show(conversation, true);
  patch({ isAnswering: true, prefill: null });
  resetSpeed();
  let text = "";
  // Tokens may arrive faster than the page can be laid out, so all that arrived since the last update are shown together.
  let timer: ReturnType<typeof setTimeout> | null = null;
  const showText = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (chatStore.get().prefill) patch({ prefill: null });
    change({ text });
  };
  const onEvent = (event: ChatEvent): void => {
    if (event.type === "prefill") patch({ prefill: { done: event.done, total: event.total } });
    else if (event.type === "cache") {
      if (chatStore.get().current.id === at.id) setCache(event.cache);
    } else {
      text += event.text;
      noteSpeed(event.tokens);
      timer ??= setTimeout(showText, SHOW_INTERVAL_MS);
    }
  };
  try {
    const request = { conversation: at.id, messages: promptOf(at), sampling: samplingOf(settingsStore.get()) };
    const { finishReason, usage, timings, cache } = await engine
      .chat(request, { onEvent, signal: own.signal })
      .finally(showText);
    const state = finishReason === "stop" ? "done" : finishReason === "length" ? "cut" : "stopped";
    const figures = {
      tokens: usage.completionTokens,
      promptTokens: usage.promptTokens,
      cachedTokens: usage.cachedTokens,
      ttftMs: timings.ttftMs,
      tokPerSec: timings.decodeTokPerSec,
      kv: info.kv,
    };
    change({ state, figures }, true);
    if (chatStore.get().current.id === at.id) setCache(cache);
    noteSpeed(usage.completionTokens, timings);
  } catch (error) {
    const plain = plainError(error);
    if (plain.code === "aborted") change({ state: "stopped" }, true);
    else change({ state: "interrupted", problem: plain.message }, true);
    if (plain.code === "device_lost") void recoverEngine(plain);
  } finally {
    answering = null;
    patch({ isAnswering: false, prefill: null });
  }
}
