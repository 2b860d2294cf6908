/** @file The store of the current conversation and the list of all: opening, answering, keeping, and what other tabs do. */

import type { Engine } from "../engine/engine.ts";
import { engineStore, recoverEngine, setCache } from "../engine/engine-store.ts";
import type { ModelInfo } from "../engine/protocol.ts";
import { removeOrphans } from "../kept/kept-caches.ts";
import { deletionStore, keepCache } from "../kept/kept-store.ts";
import { askToStay } from "../kept/stay.ts";
import { readSaved, save } from "../ui/saved.ts";
import { createStore } from "../ui/store.ts";
import { Answers } from "./answers.ts";
import { type Conversation, markInterrupted, newConversation, newId } from "./conversation.ts";
import { type ConversationDb, openConversationDb, type PutOutcome } from "./conversation-db.ts";
import { dropOrphanDrafts } from "./drafts.ts";
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
}

export const chatStore = createStore<ChatState>({
  current: newConversation(settingsStore.get().system),
  opening: "",
  others: [],
  isAnswering: false,
  isAnsweredElsewhere: false,
  prefill: null,
  notice: "",
});

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

/** A conversation that is shown or answered here. */
const inMemory = (id: string): Conversation | undefined =>
  answers.get(id)?.conversation ?? (isCurrent(id) ? chatStore.get().current : undefined);

/** Of the database, or as it waits to be written to it; null: it is not there any more */
async function readStored(id: string): Promise<Conversation | null> {
  const [stored, answered] = await Promise.all([keeper?.waiting(id) ?? db?.get(id), tabs?.answered()]);
  const latest = keeper?.waiting(id) ?? stored;
  if (!latest) return null;
  return answered?.has(id) ? latest : markInterrupted(latest, RELOADED);
}

/** null: it is not there any more · undefined: it could not be read, and the notice says why */
export async function readConversation(id: string): Promise<Conversation | null | undefined> {
  const here = inMemory(id);
  if (here) return here;
  const stored = await readStored(id).catch(noteUnread);
  // It may have been opened or asked meanwhile.
  return inMemory(id) ?? stored;
}

/** Goes through all conversations with their texts, in no order. */
export async function everyConversation(visit: (conversation: Conversation) => void): Promise<void> {
  const here = chatStore.get().others.flatMap(({ id }) => inMemory(id) ?? keeper?.waiting(id) ?? []);
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
  stay();
}

/** Stays with the conversation that is shown, in the place of one that is being opened. */
export function stay(): void {
  patch({ opening: "" });
  noteCurrent(chatStore.get().current.id);
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
  // Another tab may have deleted some of them since they were read.
  for (const id of gone) there.delete(id);
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
  // What waits here is merged with it when it is written.
  if (keeper?.waiting(id)) return;
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
  const conversation = keeper?.waiting(id) ?? (await db?.get(id));
  if (!conversation || answers.get(id)) return;
  const ended = markInterrupted(conversation, "The tab that wrote this answer was closed.");
  list(ended);
  if (isCurrent(id)) patch({ current: ended, isAnsweredElsewhere: false });
}

export function startNew(): void {
  showOpened(newConversation(settingsStore.get().system));
}

/** Shows a conversation of the list, at once where it is in memory. */
export async function openConversation(id: string): Promise<void> {
  if (!chatStore.get().others.some((each) => each.id === id)) return;
  const here = inMemory(id);
  patch({ opening: here ? "" : id });
  if (isCurrent(id)) return;
  const conversation = here ?? (await readConversation(id));
  // Another one may have been opened meanwhile, or this one deleted.
  if (!here && chatStore.get().opening !== id) return;
  patch({ opening: "" });
  if (conversation) showOpened(conversation);
  else if (conversation === null && db) forgetConversation(id);
}

function noteUnread(error: unknown): undefined {
  const why = error instanceof Error ? error.message : String(error);
  patch({ notice: `The browser could not read this conversation (${why}); reload the page to try again.` });
}

/** Shows a conversation with what is known of its answer, in the place of one that is being opened. */
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
  stay();
}

/** Takes a conversation off the page; what the database holds is not touched. */
function forgetConversation(id: string): void {
  gone.add(id);
  answers.drop(id);
  keeper?.drop(id);
  reviewNotice();
  if (chatStore.get().opening === id) patch({ opening: "" });
  if (isCurrent(id)) startNew();
  patch({ others: chatStore.get().others.filter((c) => c.id !== id) });
}

/** Takes a conversation off the page and out of the database. */
export async function removeConversation(id: string): Promise<void> {
  forgetConversation(id);
  await db?.delete(id);
  tabs?.tell(id);
  // There may be room now for what was not kept.
  keeper?.retry();
}

/** Puts a conversation into the list and the database, whether it was deleted here before or not. */
export function addConversation(conversation: Conversation): void {
  gone.delete(conversation.id);
  list(conversation);
  keep(conversation, true);
}

/** Adds a conversation and shows it. */
export function addAndShow(conversation: Conversation): void {
  addConversation(conversation);
  showOpened(conversation);
}

export function stopAnswer(): void {
  answers.stop(chatStore.get().current.id);
}

/** title: an empty one is left as it was */
export async function renameConversation(id: string, title: string): Promise<void> {
  const name = title.trim().replace(/\s+/g, " ");
  const found = await readConversation(id);
  // What is being answered, here or in another tab, is written with the title that it had at the beginning.
  const isAnswered = answers.get(id) !== undefined || found?.messages.at(-1)?.state === "streaming";
  if (!found || !name || name === found.title || isAnswered) return;
  const renamed = { ...found, title: name };
  if (isCurrent(id)) patch({ current: renamed });
  list(renamed);
  keep(renamed, true);
}

/** Saves a conversation that ends with an empty answer, and has that answer written, whatever is shown meanwhile. */
export async function writeAnswer(conversation: Conversation, engine: Engine, info: ModelInfo): Promise<void> {
  const { id } = conversation;
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
}
