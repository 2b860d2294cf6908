/** @file How many tokens a conversation makes as a prompt, and whether the context holds them. */
import { type Conversation, promptOf } from "../chat/conversation.ts";
import { engineStore, tabEngine } from "../engine/engine-store.ts";
import { createStore } from "../ui/store.ts";

export interface Measure {
  readonly conversation: string;
  /** Of the whole prompt. */
  readonly tokens: number;
  /** Tokens of the context; 0 when it is not known. */
  readonly limit: number;
  /** Whether the number is estimated from the length of the text, as of a server's model. */
  readonly isAbout: boolean;
}

/** Of what is about to be sent; null when that is nothing, or when it is not counted yet. */
export const measureStore = createStore<Measure | null>(null);

/** Characters of a token, as English texts have them. */
const CHARACTERS_PER_TOKEN = 4;
/** How far an estimate may be over the context before it is believed. */
const DOUBT = 1.5;
/** An answer needs some room. */
export const LEAST_ANSWER_TOKENS = 32;

/** The most tokens that a character may be: the bytes of an emoji. */
const TOKENS_PER_CHARACTER = 2;
/** The most tokens that a template puts around a message. */
const TOKENS_PER_MESSAGE = 64;

/** Whether a conversation fits without being counted. */
export function isSurelyShort(conversation: Conversation, limit: number): boolean {
  if (!(limit > 0)) return true;
  const messages = promptOf(conversation);
  const most = messages.reduce(
    (sum, { content }) => sum + (content?.length ?? 0) * TOKENS_PER_CHARACTER + TOKENS_PER_MESSAGE,
    LEAST_ANSWER_TOKENS,
  );
  return most <= limit;
}

/** null where no model is loaded, or another one was meanwhile. */
export async function measure(conversation: Conversation): Promise<Measure | null> {
  const { info, engine } = engineStore.get();
  if (!info) return null;
  const messages = promptOf(conversation);
  const tab = tabEngine();
  const characters = messages.reduce((sum, { content }) => sum + (content?.length ?? 0), 0);
  const tokens = tab ? await tab.measure(messages) : Math.ceil(characters / CHARACTERS_PER_TOKEN);
  if (engineStore.get().engine !== engine) return null;
  return { conversation: conversation.id, tokens, limit: info.contextLength, isAbout: !tab };
}

export const isTooLong = ({ tokens, limit, isAbout }: Measure): boolean =>
  limit > 0 && (isAbout ? tokens > limit * DOUBT : tokens + LEAST_ANSWER_TOKENS > limit);
