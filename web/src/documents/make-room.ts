/** @file The ways out when a message does not fit the context: each changes what is about to be sent until it fits. */
import { leaveOutBefore, replaceDocument } from "../chat/change-current.ts";
import { chatStore } from "../chat/chat-store.ts";
import type { Conversation } from "../chat/conversation.ts";
import { draftOf } from "../chat/drafts.ts";
import { oldTurns, shortened } from "./context-ways.ts";
import { isTooLong, LEAST_ANSWER_TOKENS, measure } from "./count-tokens.ts";
import { attachmentsOf, attachmentsStore, replaceText } from "./documents-store.ts";
import type { DocumentText } from "./read-document.ts";
import { nextConversation } from "./watch-length.ts";

/** Tries to come closer, since tokens are not spread evenly over a text. */
const MOST_TRIES = 6;
/** Tokens that are left for the answer where a document is shortened. */
const ROOM_FOR_ANSWER = 256;

const fits = async (conversation: Conversation): Promise<boolean> => {
  const measured = await measure(conversation);
  return measured !== null && !isTooLong(measured);
};

/** The message from which on everything fits, with the fewest turns left out; null when the last question alone is too long. */
async function roomByTurns(conversation: Conversation): Promise<string | null> {
  for (const turn of oldTurns(conversation)) {
    const from = turnAfter(conversation, turn);
    if (from && (await fits({ ...conversation, from }))) return from;
  }
  return null;
}

/** The question that follows. */
function turnAfter({ messages }: Conversation, id: string): string | null {
  const at = messages.findIndex((message) => message.id === id);
  return messages.slice(at + 1).find(({ role }) => role === "user")?.id ?? null;
}

/** returns: whether it fits now */
export async function leaveOutOldTurns(): Promise<boolean> {
  const next = nextConversation();
  const from = await roomByTurns(next);
  if (from === null) return false;
  const isNew = !chatStore.get().current.messages.some(({ id }) => id === from);
  // The question that is about to be sent has no place in the conversation yet: everything before it is left out.
  leaveOutBefore(isNew ? "" : from);
  return true;
}

/** A document that can be shortened: of the message to come, or else of the conversation. */
export interface LongDocument {
  readonly document: DocumentText;
  /** Of the attachment; absent in a message that was sent. */
  readonly attachment?: string;
}

/** The longest one, which has the most to give. */
export function longestDocument(): LongDocument | null {
  const { current } = chatStore.get();
  const attached = attachmentsOf(attachmentsStore.get(), draftOf(current)).flatMap(({ id, document }) =>
    document ? [{ document, attachment: id }] : [],
  );
  const sent = current.messages.flatMap(({ documents = [] }) => documents.map((document) => ({ document })));
  const all: readonly LongDocument[] = [...attached, ...sent];
  return all.reduce<LongDocument | null>(
    (longest, each) => (each.document.text.length > (longest?.document.text.length ?? 0) ? each : longest),
    null,
  );
}

/** Keeps the beginning and the end of a document, as much as fits. returns: whether it fits now */
export async function shortenDocument({ document, attachment }: LongDocument): Promise<boolean> {
  const replace = (text: string): void => {
    if (attachment !== undefined) replaceText(draftOf(chatStore.get().current), attachment, text);
    else replaceDocument(document, { ...document, text });
  };
  const withText = (text: string): Conversation => {
    const next = nextConversation();
    const messages = next.messages.map((message) => ({
      ...message,
      ...(message.documents && {
        documents: message.documents.map((each) => (each.text === document.text ? { ...each, text } : each)),
      }),
    }));
    return { ...next, messages };
  };
  const [all, without] = [await measure(withText(document.text)), await measure(withText(""))];
  if (!all || !without) return false;
  const room = all.limit - without.tokens - ROOM_FOR_ANSWER;
  let share = room / (all.tokens - without.tokens);
  for (let tries = 0; tries < MOST_TRIES && share > 0; tries++) {
    const text = shortened(document, Math.min(share, 1));
    const measured = await measure(withText(text));
    if (!measured) return false;
    if (measured.tokens + LEAST_ANSWER_TOKENS <= measured.limit) {
      replace(text);
      return true;
    }
    share *= 0.9 * (measured.limit / measured.tokens);
  }
  return false;
}
