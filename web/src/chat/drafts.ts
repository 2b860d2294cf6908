/** @file Texts that are not sent yet, one a conversation. They survive a reload, and the tab. */
import { readSaved, save, savedNames } from "../ui/saved.ts";
import { createStore } from "../ui/store.ts";
import type { Conversation } from "./conversation.ts";

const PREFIX = "draft.";
const NEW = "new";

const isText = (value: unknown): value is string => typeof value === "string";

/** Whose the draft and the attachments are: before anything was said in a conversation, those of whichever new one is shown. */
export const draftOf = ({ id, messages }: Pick<Conversation, "id" | "messages">): string =>
  messages.length > 0 ? id : NEW;

/** The draft of the conversation that is shown. */
export const draftStore = createStore("");

let shown = "";

/** What was written in this tab, or else in another one. */
const read = (of: string): string => readSaved(PREFIX + of, isText, "tab") ?? readSaved(PREFIX + of, isText) ?? "";

function write(of: string, text: string): void {
  const before = of === shown ? draftStore.get() : read(of);
  if (of === shown) draftStore.set(text);
  save(PREFIX + of, text, "tab");
  // What another tab has written is not sent with the text of this one.
  if (text !== "" || readSaved(PREFIX + of, isText) === before) save(PREFIX + of, text || undefined);
}

/** Shows the draft of another conversation. of: from `draftOf` */
export function openDraft(of: string): void {
  if (of === shown) return;
  shown = of;
  draftStore.set(read(of));
}

export const writeDraft = (text: string): void => write(shown, text);

/** A text was sent. What the draft has besides, such as what was written since, goes with the conversation, which is not new any more. */
export function takeFromDraft(sent: string, from: string, to: string): void {
  const draft = from === shown ? draftStore.get() : read(from);
  const rest = draft.trimStart().startsWith(sent) ? draft.trimStart().slice(sent.length).trimStart() : draft;
  write(from, "");
  if (rest !== "") write(to, rest);
}

export function dropDraft(id: string): void {
  save(PREFIX + id, undefined);
  save(PREFIX + id, undefined, "tab");
}

/** Drops the drafts of conversations that there are no more. conversations: ids of all that there are */
export function dropOrphanDrafts(conversations: ReadonlySet<string>): void {
  for (const name of savedNames(PREFIX)) {
    const of = name.slice(PREFIX.length);
    if (of !== NEW && !conversations.has(of)) dropDraft(of);
  }
}
