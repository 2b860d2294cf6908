/** @file Counts what the next message would make of the conversation, a moment after the last change. */
import { chatStore } from "../chat/chat-store.ts";
import { ask, type Conversation } from "../chat/conversation.ts";
import { draftOf, draftStore } from "../chat/drafts.ts";
import { engineStore } from "../engine/engine-store.ts";
import { measure, measureStore } from "./count-tokens.ts";
import { attachmentsOf, attachmentsStore, documentsOf } from "./documents-store.ts";

/** A text this short fits every model. */
const SHORT = 500;
const DELAY_MS = 250;

/** The current conversation with what is about to be sent. */
export function nextConversation(current = chatStore.get().current): Conversation {
  const documents = documentsOf(attachmentsOf(attachmentsStore.get(), draftOf(current)));
  const text = draftStore.get();
  if (text.trim() === "" && documents.length === 0) return current;
  return ask(current, text, { documents });
}

let timer: ReturnType<typeof setTimeout> | null = null;
let counted = 0;

async function count(): Promise<void> {
  const own = ++counted;
  const { current, isAnswering } = chatStore.get();
  const next = nextConversation(current);
  const isNothing = next === current || (current.messages.length === 0 && !isLong(next));
  const measured = isNothing || isAnswering ? null : await measure(next).catch(() => null);
  if (own === counted) measureStore.set(measured);
}

const isLong = ({ messages }: Conversation): boolean =>
  messages.some(({ text, documents }) => text.length > SHORT || documents !== undefined);

function countSoon(): void {
  if (timer !== null) clearTimeout(timer);
  timer = setTimeout(() => void count(), DELAY_MS);
}

/** Counts again whenever something changes that is part of the prompt. */
export function watchLength(): void {
  draftStore.subscribe(countSoon);
  attachmentsStore.subscribe(countSoon);
  let { info } = engineStore.get();
  engineStore.subscribe(() => {
    if (engineStore.get().info === info) return;
    info = engineStore.get().info;
    countSoon();
  });
  let { current, isAnswering } = chatStore.get();
  chatStore.subscribe(() => {
    const now = chatStore.get();
    const isSame = (["id", "from", "system"] as const).every((field) => now.current[field] === current[field]);
    if (isSame && now.isAnswering === isAnswering) return;
    if (now.current.id !== current.id) measureStore.set(null);
    ({ current, isAnswering } = now);
    countSoon();
  });
}
