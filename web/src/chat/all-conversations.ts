/** @file What goes through the texts of all conversations: the search, and files of them. */
import { addConversation, chatStore, everyConversation } from "./chat-store.ts";
import type { Conversation } from "./conversation.ts";
import { writeConversations } from "./conversation-file.ts";
import { newestFirst } from "./listed.ts";

/** Whether all words stand in a text, in whichever order, in capitals or not. */
export function hasWords(text: string, query: string): boolean {
  const lower = text.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}

/** Ids of the conversations that have all words of `query` in their titles and messages. */
export async function findConversations(query: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  await everyConversation(({ id, title, messages }) => {
    if (hasWords([title, ...messages.map(({ text }) => text)].join("\n"), query)) found.add(id);
  });
  return found;
}

/** All conversations as a file, the newest first. */
export async function writeAllConversations(): Promise<string> {
  const all: Conversation[] = [];
  await everyConversation((conversation) => all.push(conversation));
  return writeConversations(newestFirst(all));
}

/** Adds conversations of a file; those that are here already stay as they are. returns: how many were added */
export function addConversations(conversations: readonly Conversation[]): number {
  const known = new Set(chatStore.get().others.map(({ id }) => id));
  const added = conversations.filter(({ id }) => !known.has(id));
  added.forEach(addConversation);
  return added.length;
}
