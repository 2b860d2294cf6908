/** @file Asks in the conversation that is shown: something new, something else in the place of a message, or the same again. */
import { isSurelyShort, isTooLong, type Measure, measure, measureStore } from "../documents/count-tokens.ts";
import { takeSent } from "../documents/documents-store.ts";
import { engineStore } from "../engine/engine-store.ts";
import { chatStore, writeAnswer } from "./chat-store.ts";
import { type AskOptions, ask, type Conversation, edit, regenerate } from "./conversation.ts";
import { draftOf, takeFromDraft } from "./drafts.ts";

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

/** onSent: called when the message is part of the conversation */
async function answer(conversation: Conversation, onSent?: () => void): Promise<Sent> {
  const { engine, info } = engineStore.get();
  const { isAnswering, isAnsweredElsewhere } = chatStore.get();
  if (!engine || !info || isAnswering || isAnsweredElsewhere) return "not now";
  if (conversation.messages.at(-1)?.state !== "streaming") return "not now";
  // Another conversation may be opened while this one is measured.
  const setAnswering = (isAnswering: boolean): void =>
    chatStore.update((state) =>
      state.current.id === conversation.id ? { ...state, isAnswering, prefill: null } : state,
    );
  setAnswering(true);
  const measured = isSurelyShort(conversation, info.contextLength)
    ? null
    : await measure(conversation).catch(() => null);
  if (measured && isTooLong(measured)) {
    setAnswering(false);
    return measured;
  }
  onSent?.();
  await writeAnswer(conversation, engine, info);
  return "sent";
}
