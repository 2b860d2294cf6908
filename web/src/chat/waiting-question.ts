/** @file A question that was asked while the model loads: it is sent when the model is ready, unless it is taken back before. */
import { attachmentsOf, attachmentsStore, documentsOf } from "../documents/documents-store.ts";
import { engineStore } from "../engine/engine-store.ts";
import { createStore } from "../ui/store.ts";
import { stayAtAddress } from "./address.ts";
import { sendMessage } from "./asking.ts";
import { chatStore, stay } from "./chat-store.ts";
import { draftOf, draftStore, writeDraft } from "./drafts.ts";
import type { Starter } from "./starters.ts";

export interface WaitingQuestion {
  readonly conversation: string;
  /** null: what stands in the field by then, with what is attached. */
  readonly starter: Pick<Starter, "title" | "text"> | null;
}

/** null when nothing waits. It belongs to the conversation that is shown, and ends when another one is. */
export const waitingStore = createStore<WaitingQuestion | null>(null);

/** Whether a model is on its way, and none answers meanwhile. */
export const isOnItsWay = ({ engine, status }: ReturnType<typeof engineStore.get>): boolean =>
  engine === null && (status === "loading" || status === "lost");

function wait(starter: WaitingQuestion["starter"]): void {
  const { current } = chatStore.get();
  // A page that is opening stays with it, and does not go to the conversation of the last visit.
  stay();
  stayAtAddress();
  waitingStore.set({ conversation: current.id, starter });
}

/** Sends what stands in the field as soon as the model is ready. */
export const sendWhenReady = (): void => wait(null);

/** Asks a starter: at once, as soon as the model is ready, or, where none is on its way, by the field. */
export function askStarter(starter: Pick<Starter, "title" | "text">): void {
  const engine = engineStore.get();
  if (engine.engine) void sendMessage(starter.text, { title: starter.title });
  else if (isOnItsWay(engine)) wait(starter);
  else toField(starter.text);
}

export const takeBack = (): void => waitingStore.set(null);

/** Behind what the user has written. */
function toField(text: string): void {
  const draft = draftStore.get();
  if (!draft.includes(text)) writeDraft(draft.trim() === "" ? text : `${draft.trimEnd()}\n\n${text}`);
}

function look(): void {
  const waiting = waitingStore.get();
  if (!waiting) return;
  const { current } = chatStore.get();
  const engine = engineStore.get();
  if (current.id === waiting.conversation && isOnItsWay(engine)) return;
  waitingStore.set(null);
  if (current.id !== waiting.conversation) return;
  const { starter } = waiting;
  if (!engine.engine) {
    // The model cannot be loaded, or is not to be: nothing that was asked is lost.
    if (starter) toField(starter.text);
    return;
  }
  if (starter) {
    void sendMessage(starter.text, { title: starter.title });
    return;
  }
  const attachments = attachmentsOf(attachmentsStore.get(), draftOf(current));
  const text = draftStore.get().trim();
  const isRead = attachments.every(({ document, problem }) => document || problem);
  // What cannot be sent yet stays in the field.
  if (text && isRead) void sendMessage(text, { documents: documentsOf(attachments) });
}

engineStore.subscribe(look);
chatStore.subscribe(look);
