/** @file Whether a value from outside, such as a file or the browser's storage, is a conversation that the page can show. */
import type { DocumentText } from "../documents/read-document.ts";
import { isRecord } from "../ui/saved.ts";
import type { Conversation, Fork, Message } from "./conversation.ts";

const isTextOrAbsent = (value: unknown): boolean => value === undefined || typeof value === "string";

const isListOf = <T>(value: unknown, isOne: (value: unknown) => value is T): value is T[] =>
  Array.isArray(value) && value.every(isOne);

const isDocument = (value: unknown): value is DocumentText =>
  isRecord(value) &&
  typeof value["name"] === "string" &&
  typeof value["text"] === "string" &&
  ["undefined", "number"].includes(typeof value["pages"]);

const isMessage = (value: unknown): value is Message =>
  isRecord(value) &&
  typeof value["id"] === "string" &&
  (value["role"] === "user" || value["role"] === "assistant") &&
  typeof value["text"] === "string" &&
  isTextOrAbsent(value["problem"]) &&
  (value["documents"] === undefined || isListOf(value["documents"], isDocument)) &&
  (value["figures"] === undefined || (isRecord(value["figures"]) && isTextOrAbsent(value["figures"]["kv"])));

const isMessages = (value: unknown): value is Message[] => isListOf(value, isMessage);

/** `at` is one of the versions. */
const isFork = (value: unknown): value is Fork =>
  isRecord(value) &&
  isListOf(value["tails"], isMessages) &&
  typeof value["at"] === "number" &&
  Object.hasOwn(value["tails"], value["at"]);

export const isConversation = (value: unknown): value is Conversation =>
  isRecord(value) &&
  typeof value["id"] === "string" &&
  typeof value["title"] === "string" &&
  typeof value["updatedAt"] === "number" &&
  typeof value["system"] === "string" &&
  isTextOrAbsent(value["from"]) &&
  isMessages(value["messages"]) &&
  (value["forks"] === undefined || (isRecord(value["forks"]) && Object.values(value["forks"]).every(isFork)));

export const isConversations = (value: unknown): value is Conversation[] => isListOf(value, isConversation);
