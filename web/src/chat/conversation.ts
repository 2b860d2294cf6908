/** @file A conversation as data, and pure functions that change one. */
import type { ChatMessage } from "turboquant";
import type { DocumentText } from "../documents/read-document.ts";
import { withoutThought } from "../prose/thought.ts";

/**
 * - `streaming`: being written · `done`: ended by itself · `cut`: ended at the limit of tokens · `stopped`: ended by the user
 * - `interrupted`: by a reload, a lost device or a broken connection; the text so far is kept
 */
export type AnswerState = "streaming" | "done" | "cut" | "stopped" | "interrupted";

export interface AnswerFigures {
  readonly tokens: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly ttftMs: number;
  readonly tokPerSec: number;
  readonly kv: string;
}

export interface Message {
  readonly id: string;
  readonly role: "user" | "assistant";
  readonly text: string;
  /** Only in questions: what they are about, part of the prompt before the text. */
  readonly documents?: readonly DocumentText[];
  /** Only in answers. */
  readonly state?: AnswerState;
  readonly figures?: AnswerFigures;
  /** The reason for an interruption. */
  readonly problem?: string;
}

export interface Conversation {
  readonly id: string;
  readonly title: string;
  readonly updatedAt: number;
  readonly system: string;
  readonly messages: readonly Message[];
  /** The message from which on the model sees the conversation, where the oldest turns were left out for lack of room; empty: the next one. */
  readonly from?: string;
  /** Where it was gone on with in several ways, by the id of the message before; empty for the beginning. */
  readonly forks?: Readonly<Record<string, Fork>>;
  /** The revision of the database's record that this was made from; none where it was not read from there (`conversation-db.ts`). */
  readonly revision?: number;
}

export interface Fork {
  /** The messages behind that place in each version; of the one that is shown, as they were when another was shown last. */
  readonly tails: readonly (readonly Message[])[];
  readonly at: number;
}

const TITLE_LENGTH = 48;
export const UNTITLED = "New conversation";

/** A random id. `randomUUID` exists only in secure contexts, and a page served over plain HTTP is not one. */
export const newId = (): string =>
  Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join("");

/** The same as the database has not seen it yet: it is written anew, not onto a record that was there. */
export const unread = ({ revision: _, ...conversation }: Conversation): Conversation => conversation;

export function newConversation(system = "", now = Date.now()): Conversation {
  return { id: newId(), title: UNTITLED, updatedAt: now, system, messages: [] };
}

export function titleFrom(text: string): string {
  const line = text.trim().replace(/\s+/g, " ");
  if (line.length <= TITLE_LENGTH) return line || UNTITLED;
  const cut = line.slice(0, TITLE_LENGTH);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), TITLE_LENGTH / 2))}…`;
}

export interface AskOptions {
  readonly now?: number;
  /** Of a new conversation; by default the beginning of the text, or else the name of the first document. */
  readonly title?: string;
  readonly documents?: readonly DocumentText[];
}

/** Appends a user message and an empty answer. */
export function ask(
  conversation: Conversation,
  text: string,
  { now = Date.now(), title: name, documents = [] }: AskOptions = {},
): Conversation {
  const question = newId();
  const messages: Message[] = [
    ...conversation.messages,
    { id: question, role: "user", text, ...(documents.length > 0 && { documents }) },
    { id: newId(), role: "assistant", text: "", state: "streaming" },
  ];
  const fallback = titleFrom(text.trim() || documents[0]?.name || "");
  const title = conversation.title === UNTITLED ? (name ?? fallback) : conversation.title;
  return { ...conversation, title, messages, updatedAt: now, ...(conversation.from === "" && { from: question }) };
}

/** Asks something else in the place of a user message, as another version, with an empty answer. Its documents stay. */
export function edit(conversation: Conversation, messageId: string, text: string, now = Date.now()): Conversation {
  const at = conversation.messages.findIndex(({ id, role }) => id === messageId && role === "user");
  if (at < 0) return conversation;
  const { documents = [] } = conversation.messages[at]!;
  const before = forkAt(conversation, at);
  return ask(at === 0 ? { ...before, title: UNTITLED } : before, text, { now, documents });
}

/** Answers a question again, as another version. */
export function regenerate(conversation: Conversation, messageId: string, now = Date.now()): Conversation {
  const at = conversation.messages.findIndex(({ id, role }) => id === messageId && role === "assistant");
  const question = conversation.messages[at - 1];
  if (question?.role !== "user") return conversation;
  const before = forkAt(conversation, at);
  return {
    ...before,
    updatedAt: now,
    messages: [...before.messages, { id: newId(), role: "assistant", text: "", state: "streaming" }],
  };
}

const keyAt = ({ messages }: Conversation, index: number): string => messages[index - 1]?.id ?? "";

/** Ends the conversation before a message, and keeps what was there as a version. */
function forkAt(conversation: Conversation, index: number): Conversation {
  const { messages, forks } = conversation;
  const key = keyAt(conversation, index);
  const { tails, at } = forks?.[key] ?? { tails: [[]], at: 0 };
  const kept = tails.with(at, messages.slice(index));
  return {
    ...conversation,
    messages: messages.slice(0, index),
    forks: { ...forks, [key]: { tails: [...kept, []], at: kept.length } },
  };
}

/** Which of several versions begins with a message; null where there is one only. */
export function versionAt(
  conversation: Conversation,
  index: number,
): { readonly at: number; readonly count: number } | null {
  const fork = conversation.forks?.[keyAt(conversation, index)];
  return fork && fork.tails.length > 1 ? { at: fork.at, count: fork.tails.length } : null;
}

/** Goes on with another version from a message on. */
export function showVersion(conversation: Conversation, index: number, version: number): Conversation {
  const key = keyAt(conversation, index);
  const fork = conversation.forks?.[key];
  const tail = fork?.tails[version];
  if (!fork || !tail || version === fork.at) return conversation;
  const { messages } = conversation;
  return {
    ...conversation,
    messages: [...messages.slice(0, index), ...tail],
    forks: { ...conversation.forks, [key]: { tails: fork.tails.with(fork.at, messages.slice(index)), at: version } },
  };
}

export function changeAnswer(conversation: Conversation, messageId: string, change: Partial<Message>): Conversation {
  return mapMessages(conversation, (message) => (message.id === messageId ? { ...message, ...change } : message));
}

/** Those of versions that are not shown are changed as well: another tab may have put aside what is still being answered. */
function mapMessages(conversation: Conversation, change: (message: Message) => Message): Conversation {
  const { messages, forks } = conversation;
  const changed = Object.entries(forks ?? {}).map(
    ([key, { tails, at }]) => [key, { tails: tails.map((tail) => tail.map(change)), at }] as const,
  );
  return { ...conversation, messages: messages.map(change), ...(forks && { forks: Object.fromEntries(changed) }) };
}

/** Marks answers as interrupted that were streaming when the page was reloaded. */
export function markInterrupted(conversation: Conversation, problem: string): Conversation {
  return mapMessages(conversation, (message) =>
    message.state === "streaming" ? { ...message, state: "interrupted", problem } : message,
  );
}

/** Where the part begins that the model sees. */
export const startOf = ({
  messages,
  from,
}: Pick<Conversation, "messages"> & { readonly from?: string | undefined }): number =>
  from === ""
    ? messages.length
    : Math.max(
        messages.findIndex(({ id }) => id === from),
        0,
      );

/** A question as the model reads it: each document under its name, then the text. */
function contentOf({ text, documents = [] }: Pick<Message, "text" | "documents">): string {
  return [...documents.map(({ name, text }) => `${name}\n\n${text}`), text].filter(Boolean).join("\n\n");
}

/** The messages for the model, without what was left out, answers that are being written, and answers that are empty but for a thought. */
export function promptOf({ system, messages, from }: Conversation): ChatMessage[] {
  const said = messages
    .slice(startOf({ messages, from }))
    .filter(({ state }) => state !== "streaming")
    .map((message) => ({
      role: message.role,
      content: message.role === "assistant" ? withoutThought(message.text) : contentOf(message),
    }))
    .filter(({ role, content }) => role === "user" || content !== "");
  return [...(system.trim() ? [{ role: "system", content: system }] : []), ...said];
}
