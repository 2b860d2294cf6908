/** @file Conversations as a file: all of them in JSON, which another browser reads. */
import { isRecord } from "../ui/saved.ts";
import { type Conversation, type Message, markInterrupted, unread } from "./conversation.ts";

const FORMAT = "turboquant conversations";

export const writeConversations = (conversations: readonly Conversation[]): string =>
  JSON.stringify({ format: FORMAT, conversations: conversations.map(unread) }, null, 1);

const isMessage = (value: unknown): value is Message =>
  isRecord(value) &&
  typeof value["id"] === "string" &&
  (value["role"] === "user" || value["role"] === "assistant") &&
  typeof value["text"] === "string";

const isForks = (value: unknown): boolean =>
  value === undefined ||
  (isRecord(value) &&
    Object.values(value).every(
      (fork) =>
        isRecord(fork) &&
        Number.isInteger(fork["at"]) &&
        Array.isArray(fork["tails"]) &&
        fork["tails"].every((tail) => Array.isArray(tail) && tail.every(isMessage)),
    ));

const isConversation = (value: unknown): value is Conversation =>
  isRecord(value) &&
  typeof value["id"] === "string" &&
  typeof value["title"] === "string" &&
  typeof value["updatedAt"] === "number" &&
  typeof value["system"] === "string" &&
  Array.isArray(value["messages"]) &&
  value["messages"].every(isMessage) &&
  isForks(value["forks"]);

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
