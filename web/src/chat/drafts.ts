/** @file Texts that are not sent yet, one a conversation. They survive a reload. */
import { readSaved, save } from "../ui/saved.ts";
import { createStore } from "../ui/store.ts";

const isText = (value: unknown): value is string => typeof value === "string";
const nameOf = (id: string): string => `draft.${id}`;

/** The draft of the conversation that is shown. */
export const draftStore = createStore("");

let shown = "";

/** Shows the draft of another conversation. */
export function openDraft(id: string): void {
  if (id === shown) return;
  shown = id;
  draftStore.set(readSaved(nameOf(id), isText) ?? "");
}

export function writeDraft(text: string): void {
  draftStore.set(text);
  save(nameOf(shown), text || undefined);
}

export const dropDraft = (id: string): void => save(nameOf(id), undefined);
