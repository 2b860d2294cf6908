/** @file The store of the current conversation and the list of all: opening, sending, stopping, answering again, deleting. */

import { isSurelyShort, isTooLong, type Measure, measure, measureStore } from "../documents/count-tokens.ts";
import { dropAttachments, takeSent } from "../documents/documents-store.ts";
import { engineStore, recoverEngine, setCache } from "../engine/engine-store.ts";
import type { Restored } from "../engine/protocol.ts";
import { removeOrphans } from "../kept/kept-caches.ts";
import { deletionStore, forgetCache, keepCache } from "../kept/kept-store.ts";
import { askToStay } from "../kept/stay.ts";
import { readSaved, save } from "../ui/saved.ts";
import { createStore } from "../ui/store.ts";
import { Answers } from "./answers.ts";
import {
  type AskOptions,
  ask,
  type Conversation,
  edit,
  markInterrupted,
  newConversation,
  newId,
  regenerate,
  titleFrom,
  unread,
} from "./conversation.ts";
import { type ConversationDb, openConversationDb, type PutOutcome } from "./conversation-db.ts";
import { draftOf, dropDraft, dropOrphanDrafts, takeFromDraft } from "./drafts.ts";
import { Keeper } from "./keeper.ts";
import { type Listed, listedOf, newestFirst } from "./listed.ts";
import type { Prefill } from "./prefill.ts";
import { samplingOf, settingsStore } from "./settings.ts";
import { noteSpeed, resetSpeed } from "./speed.ts";
import { Tabs } from "./tabs.ts";

export interface ChatState {
  readonly current: Conversation;
  /** The conversation that is read from the storage, and shown next; empty for none. */
  readonly opening: string;
  /**
   * All conversations, the current one included, the newest first. While an answer is written its conversation stands here as it was before, so that the list need not be drawn with every token.
   */
  readonly others: readonly Listed[];
  /** Whether the current conversation is being answered, in this tab. */
  readonly isAnswering: boolean;
  /** Whether another tab is answering the current conversation. */
  readonly isAnsweredElsewhere: boolean;
  /** While the prompt is read: tokens that are in the cache already, and all tokens. */
  readonly prefill: Prefill | null;
  /** Why conversations cannot be saved; empty when they can. */
  readonly notice: string;
  /** The conversation that was deleted last, while that can be undone. */
  readonly deleted: Listed | null;
}

export const chatStore = createStore<ChatState>({
  current: newConversation(settingsStore.get().system),
  opening: "",
  others: [],
  isAnswering: false,
  isAnsweredElsewhere: false,
  prefill: null,
  notice: "",
  deleted: null,
});

/** How long a deletion can be undone. */
const UNDO_MS = 8000;
const RELOADED = "The page was reloaded or closed while this answer was written.";

const TAB = newId();
let db: ConversationDb | null = null;
let keeper: Keeper | null = null;
let tabs: Tabs | null = null;
let noted = "";
/** Conversations that were deleted here. What is still written of them is not kept. */
const gone = new Set<string>();

const patch = (change: Partial<ChatState>): void => chatStore.update((state) => ({ ...state, ...change }));
const isCurrent = (id: string): boolean => chatStore.get().current.id === id;

const answers = new Answers({
  onChange: (conversation, now) => {
    if (isCurrent(conversation.id)) patch({ current: conversation });
    if (now) list(conversation);
    keep(conversation, now);
  },
  onPrefill: (id, prefill) => isCurrent(id) && patch({ prefill }),
  onCache: (id, cache) => isCurrent(id) && setCache(cache),
  onSpeed: (id, tokens, timings) => isCurrent(id) && noteSpeed(tokens, timings),
  onFailure: (error) => void recoverEngine(error),
});

/** Puts a conversation into the list, the newest first. */
function list(conversation: Conversation): void {
  if (gone.has(conversation.id)) return;
  const { others } = chatStore.get();
  const rest = others.filter(({ id }) => id !== conversation.id);
  patch({ others: newestFirst([listedOf(conversation), ...rest]) });
}

function keep(conversation: Conversation, now: boolean): void {
  if (!gone.has(conversation.id)) keeper?.keep(conversation, now);
}

/** A conversation that need not be read: being answered, shown, or waiting to be written. */
const inMemory = (id: string): Conversation | undefined =>
  answers.get(id)?.conversation ?? (isCurrent(id) ? chatStore.get().current : keeper?.waiting(id));

/** null: it is not there any more */
async function readStored(id: string): Promise<Conversation | null> {
  const [stored, answered] = await Promise.all([db?.get(id), tabs?.answered()]);
  if (!stored) return null;
  return answered?.has(id) ? stored : markInterrupted(stored, RELOADED);
}

/** Goes through all conversations with their texts, in no order. */
export async function everyConversation(visit: (conversation: Conversation) => void): Promise<void> {
  const here = chatStore.get().others.flatMap(({ id }) => inMemory(id) ?? []);
  const seen = new Set(here.map(({ id }) => id));
  here.forEach(visit);
  await db?.each((stored) => {
    if (!seen.has(stored.id) && !gone.has(stored.id)) visit(stored);
  });
}

/** Shows a conversation that was changed by the user, and saves it. */
export function show(conversation: Conversation): void {
  patch({ current: conversation });
  if (conversation.messages.length > 0) {
    list(conversation);
    keep(conversation, true);
  }
  noteCurrent(conversation.id);
}

/** Remembers which conversation to show after a reload: of this tab, and for a tab that is opened later. */
function noteCurrent(id: string): void {
  if (id === noted) return;
  noted = id;
  save("conversation", id);
  save("conversation", id, "tab");
}

// What was not kept is written where there is room again, and the panel shows no cache that is gone.
deletionStore.subscribe(() => {
  keeper?.retry();
  const { cacheOf } = deletionStore.get();
  // What a server measured is not what this browser kept.
  const isOfServer = engineStore.get().engine?.where === "server";
  if (!isOfServer && isCurrent(cacheOf) && !answers.get(cacheOf)) setCache(null);
});

/** The notice goes when everything is kept. */
function reviewNotice(): void {
  if (chatStore.get().notice !== "" && db?.isLasting && !keeper?.isBehind) patch({ notice: "" });
}

function noteKept(id: string, outcome: PutOutcome): void {
  reviewNotice();
  if (outcome === "gone") {
    forgetConversation(id);
    return;
  }
  tabs?.tell(id);
  if (db?.isLasting) askToStay();
  if (outcome === "kept") return;
  answers.merge(outcome);
  list(outcome);
  if (isCurrent(id)) patch({ current: outcome });
}

function noteUnkept(error: unknown): void {
  const isFull = error instanceof DOMException && error.name === "QuotaExceededError";
  const why = error instanceof Error ? error.message : String(error);
  patch({
    notice: isFull
      ? "Not kept: the browser's storage for this page is full. What you say now is lost with the tab, until a conversation, a kept cache or a kept model is deleted."
      : `Not kept: the browser could not store this conversation (${why}). It is lost with the tab.`,
  });
}

/** Opens the database and continues after a reload that interrupted an answer. */
export async function openChats(): Promise<void> {
  db = await openConversationDb(TAB);
  keeper = new Keeper(db, TAB, { onKept: noteKept, onError: noteUnkept });
  tabs = new Tabs((id) => void lookAgain(id));
  if (!db.isLasting) patch({ notice: "This browser does not keep data for the page: conversations end with the tab." });
  const unwritten = await keeper.recover();
  const there = new Map<string, Listed>();
  await db.each((stored) => there.set(stored.id, listedOf(stored)));
  for (const each of [...unwritten.map(listedOf), ...chatStore.get().others]) there.set(each.id, each);
  const isId = (value: unknown): value is string => typeof value === "string";
  const last = readSaved("conversation", isId, "tab") ?? readSaved("conversation", isId);
  patch({ others: newestFirst([...there.values()]) });
  if (chatStore.get().current.messages.length === 0 && last !== null) await openConversation(last);
  addEventListener("pagehide", () => keeper?.leave());
  if (!db.isLasting) return;
  const ids = new Set(there.keys());
  dropOrphanDrafts(ids);
  await removeOrphans(ids);
}

/** Reads what another tab has written. */
async function lookAgain(id: string): Promise<void> {
  // What is being answered here is merged when it is written.
  if (answers.get(id)) return;
  const conversation = (await db?.get(id)) ?? null;
  if (answers.get(id)) return;
  if (!conversation) {
    forgetConversation(id);
    return;
  }
  // Another tab has undone its deletion.
  gone.delete(id);
  const isWritten = conversation.messages.at(-1)?.state === "streaming";
  if (!isWritten || !chatStore.get().others.some((other) => other.id === id)) list(conversation);
  if (!isCurrent(id)) return;
  patch({ current: conversation, isAnsweredElsewhere: isWritten });
  if (isWritten) void watchElsewhere(id);
}

let watched = "";
/** Waits for the end of an answer that another tab is writing; one whose tab was closed is marked as interrupted. */
async function watchElsewhere(id: string): Promise<void> {
  if (watched === id) return;
  watched = id;
  await tabs?.untilFree(id);
  watched = "";
  const conversation = await db?.get(id);
  if (!conversation || answers.get(id)) return;
  const ended = markInterrupted(conversation, "The tab that wrote this answer was closed.");
  list(ended);
  if (isCurrent(id)) patch({ current: ended, isAnsweredElsewhere: false });
}

export function startNew(): void {
  setCache(null);
  resetSpeed();
  const { system } = settingsStore.get();
  patch({ isAnswering: false, isAnsweredElsewhere: false, prefill: null, opening: "" });
  show(newConversation(system));
}

/** Shows a conversation of the list, at once where it is in memory. */
export async function openConversation(id: string): Promise<void> {
  if (!chatStore.get().others.some((each) => each.id === id)) return;
  const here = inMemory(id);
  patch({ opening: here ? "" : id });
  if (isCurrent(id)) return;
  const conversation = here ?? (await readStored(id).catch(noteUnread));
  // Another one may have been opened meanwhile.
  if (!here && chatStore.get().opening !== id) return;
  patch({ opening: "" });
  if (conversation) showOpened(conversation);
}

function noteUnread(error: unknown): null {
  const why = error instanceof Error ? error.message : String(error);
  patch({ notice: `The browser could not read this conversation (${why}); reload the page to try again.` });
  return null;
}

function showOpened(conversation: Conversation): void {
  const { id } = conversation;
  const live = answers.get(id);
  setCache(live?.cache ?? null);
  resetSpeed();
  const isAnsweredElsewhere = !live && conversation.messages.at(-1)?.state === "streaming";
  patch({
    current: conversation,
    isAnswering: live !== undefined,
    prefill: live?.prefill ?? null,
    isAnsweredElsewhere,
  });
  if (isAnsweredElsewhere) void watchElsewhere(id);
  noteCurrent(id);
}

/** Takes a conversation off the page; what the database holds is not touched. */
function forgetConversation(id: string): void {
  gone.add(id);
  answers.drop(id);
  keeper?.drop(id);
  reviewNotice();
  if (isCurrent(id)) startNew();
  patch({ others: chatStore.get().others.filter((c) => c.id !== id) });
}

let undoing: ReturnType<typeof setTimeout> | null = null;
/** What `ChatState.deleted` said. */
let deletedText: Promise<Conversation | null> = Promise.resolve(null);

export async function deleteConversation(id: string): Promise<void> {
  const deleted = chatStore.get().others.find((each) => each.id === id) ?? null;
  if (undoing !== null) clearTimeout(undoing);
  endUndo();
  const here = inMemory(id);
  // The reading begins before the deletion does, and the database keeps their order.
  deletedText = here ? Promise.resolve(here) : readStored(id).catch(noteUnread);
  forgetConversation(id);
  undoing = setTimeout(endUndo, UNDO_MS);
  patch({ deleted });
  await db?.delete(id);
  tabs?.tell(id);
  // There may be room now for what was not kept.
  keeper?.retry();
}

/** The deletion is final: the cache goes as well. */
function endUndo(): void {
  const { deleted } = chatStore.get();
  if (!deleted) return;
  void forgetCache(deleted.id);
  dropDraft(deleted.id);
  dropAttachments(deleted.id);
  patch({ deleted: null });
}

export async function undoDelete(): Promise<void> {
  if (!chatStore.get().deleted) return;
  const text = deletedText;
  patch({ deleted: null });
  const deleted = await text;
  if (!deleted) return;
  const again = markInterrupted(unread(deleted), "The conversation was deleted while this answer was written.");
  gone.delete(again.id);
  list(again);
  keep(again, true);
  showOpened(again);
}

export function stopAnswer(): void {
  answers.stop(chatStore.get().current.id);
}

/** What became of a message, at the end of its answer where it was sent. A measure: it does not fit the context, and was not. */
export type Sent = "sent" | "not now" | Measure;

/** A message that is not sent stays in the draft and among the attachments, and `measureStore` says where it does not fit. */
export async function sendMessage(text: string, options: AskOptions = {}): Promise<Sent> {
  const { current } = chatStore.get();
  const from = draftOf(current);
  const conversation = ask(current, text, options);
  const outcome = await answer(conversation, () => {
    takeFromDraft(text, from, current.id);
    takeSent(options.documents ?? [], from, current.id);
  });
  sayTooLong(outcome);
  return outcome;
}

function sayTooLong(outcome: Sent): void {
  if (typeof outcome === "object") measureStore.set(outcome);
}

export const editMessage = (messageId: string, text: string): Promise<Sent> =>
  answer(edit(chatStore.get().current, messageId, text));

export const answerAgain = async (messageId: string): Promise<void> =>
  sayTooLong(await answer(regenerate(chatStore.get().current, messageId)));

/** title: an empty one is left as it was */
export async function renameConversation(id: string, title: string): Promise<void> {
  const name = title.trim().replace(/\s+/g, " ");
  const found = inMemory(id) ?? (await readStored(id).catch(noteUnread));
  // What is being answered, here or in another tab, is written with the title that it had at the beginning.
  const isAnswered = answers.get(id) !== undefined || found?.messages.at(-1)?.state === "streaming";
  if (!found || !name || name === found.title || isAnswered) return;
  const renamed = { ...found, title: name };
  if (isCurrent(id)) patch({ current: renamed });
  list(renamed);
  keep(renamed, true);
}

/** Adds conversations of a file; those that are here already stay as they are. returns: how many were added */
export function addConversations(conversations: readonly Conversation[]): number {
  const known = new Set(chatStore.get().others.map(({ id }) => id));
  const added = conversations.filter(({ id }) => !known.has(id));
  for (const conversation of added) {
    gone.delete(conversation.id);
    list(conversation);
    keep(conversation, true);
  }
  return added.length;
}

/** Makes the messages of a restored cache the current conversation. */
export function adoptRestored(id: string, { messages, system, cache }: Restored): void {
  const first = messages.find(({ role }) => role === "user");
  const restored = messages.map(({ role, text }) => ({ id: newId(), role, text }));
  patch({ isAnswering: false, isAnsweredElsewhere: false, prefill: null, opening: "" });
  show({ id, title: titleFrom(first?.text ?? ""), updatedAt: Date.now(), system, messages: restored });
  resetSpeed();
  setCache(cache);
  keepCache(id);
}

/** onSent: called when the message is part of the conversation */
async function answer(conversation: Conversation, onSent?: () => void): Promise<Sent> {
  const { engine, info } = engineStore.get();
  const { isAnswering, isAnsweredElsewhere } = chatStore.get();
  const { id } = conversation;
  if (!engine || !info || isAnswering || isAnsweredElsewhere) return "not now";
  if (conversation.messages.at(-1)?.state !== "streaming") return "not now";
  patch({ isAnswering: true, prefill: null });
  const measured = isSurelyShort(conversation, info.contextLength)
    ? null
    : await measure(conversation).catch(() => null);
  if (measured && isTooLong(measured)) {
    if (isCurrent(id)) patch({ isAnswering: false });
    return measured;
  }
  onSent?.();
  if (isCurrent(id)) {
    resetSpeed();
    show(conversation);
  } else {
    list(conversation);
    keep(conversation, true);
  }
  const work = (): Promise<void> => answers.write(conversation, engine, info, samplingOf(settingsStore.get()));
  await (tabs ? tabs.whileAnswering(id, work) : work());
  if (isCurrent(id)) patch({ isAnswering: false, prefill: null });
  if (!gone.has(id)) keepCache(id);
  return "sent";
}
