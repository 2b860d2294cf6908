/** @file Changes that the user makes to the current conversation besides asking: versions, its system message, what the model sees of it. */
import type { DocumentText } from "../documents/read-document.ts";
import { chatStore, show } from "./chat-store.ts";
import { showVersion } from "./conversation.ts";
import { changeSettings, settingsStore } from "./settings.ts";

const isFree = (): boolean => {
  const { isAnswering, isAnsweredElsewhere } = chatStore.get();
  return !isAnswering && !isAnsweredElsewhere;
};

/** Shows another version of what was said from a message on. */
export function chooseVersion(index: number, version: number): void {
  const { current } = chatStore.get();
  if (!isFree()) return;
  const next = showVersion(current, index, version);
  // The cache is cut back to what both versions share when the next message is said.
  if (next !== current) show(next);
}

/** Changes the system message, from the next message on. */
export function setSystem(system: string): void {
  const { current } = chatStore.get();
  if (system !== current.system && isFree()) show({ ...current, system });
}

/** Changes the system message of new conversations: of the one that is shown too, where nothing was said and it has no other. */
export function setDefaultSystem(system: string): void {
  const { current } = chatStore.get();
  const isAsDefault = current.messages.length === 0 && current.system === settingsStore.get().system;
  changeSettings({ system });
  if (isAsDefault) setSystem(system);
}

/** The model sees the conversation from this message on; empty: from the next message on. */
export function leaveOutBefore(messageId: string): void {
  show({ ...chatStore.get().current, from: messageId });
}

/** Puts another text in the place of a document. */
export function replaceDocument(document: DocumentText, by: DocumentText): void {
  const { current } = chatStore.get();
  const messages = current.messages.map((message) =>
    message.documents?.includes(document)
      ? { ...message, documents: message.documents.map((each) => (each === document ? by : each)) }
      : message,
  );
  show({ ...current, messages });
}
