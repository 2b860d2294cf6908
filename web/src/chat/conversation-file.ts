/** @file Conversations as a file: all of them in JSON, which another browser reads. */
import { isRecord } from "../ui/saved.ts";
import { type Conversation, markInterrupted, unread } from "./conversation.ts";
import { isConversation } from "./is-conversation.ts";

const FORMAT = "turboquant conversations";

export const writeConversations = (conversations: readonly Conversation[]): string =>
  JSON.stringify({ format: FORMAT, conversations: conversations.map(unread) }, null, 1);

/** @throws Error — a file that holds no conversations, with what it is */
export function readConversations(text: string, name: string): Conversation[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`${name}: expected a file of conversations, got text that is no JSON`);
  }
  if (!isRecord(json) || json["format"] !== FORMAT || !Array.isArray(json["conversations"])) {
    throw new Error(`${name}: expected a file of conversations, as this page writes them`);
  }
  const conversations: unknown[] = json["conversations"];
  const bad = conversations.findIndex((value) => !isConversation(value));
  if (bad >= 0) throw new Error(`${name}: conversation ${bad + 1} is damaged; nothing was read`);
  return (conversations as Conversation[]).map((each) =>
    markInterrupted(unread(each), "It was being written when it was saved."),
  );
}
