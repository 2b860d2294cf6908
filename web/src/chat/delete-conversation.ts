/** @file Deletes a conversation, and takes that back while it can be. */
import { dropAttachments } from "../documents/documents-store.ts";
import { forgetCache } from "../kept/kept-store.ts";
import { createStore } from "../ui/store.ts";
import { addAndShow, chatStore, readConversation, removeConversation } from "./chat-store.ts";
import { type Conversation, markInterrupted, unread } from "./conversation.ts";
import { dropDraft } from "./drafts.ts";
import type { Listed } from "./listed.ts";

/** How long a deletion can be undone. */
const UNDO_MS = 8000;

/** The conversation that was deleted last, while that can be undone. */
export const deletedStore = createStore<Listed | null>(null);

let undoing: ReturnType<typeof setTimeout> | null = null;
/** All of what `deletedStore` names. */
let deletedText: Promise<Conversation | null | undefined> = Promise.resolve(null);

export async function deleteConversation(id: string): Promise<void> {
  const deleted = chatStore.get().others.find((each) => each.id === id) ?? null;
  if (undoing !== null) clearTimeout(undoing);
  endUndo();
  // The reading begins before the deletion does, and the database keeps their order.
  deletedText = readConversation(id);
  const removed = removeConversation(id);
  undoing = setTimeout(endUndo, UNDO_MS);
  deletedStore.set(deleted);
  await removed;
}

/** The deletion is final: the cache goes as well. */
function endUndo(): void {
  const deleted = deletedStore.get();
  if (!deleted) return;
  void forgetCache(deleted.id);
  dropDraft(deleted.id);
  dropAttachments(deleted.id);
  deletedStore.set(null);
}

export async function undoDelete(): Promise<void> {
  if (!deletedStore.get()) return;
  const text = deletedText;
  deletedStore.set(null);
  const deleted = await text;
  if (deleted)
    addAndShow(markInterrupted(unread(deleted), "The conversation was deleted while this answer was written."));
}
