/** @file What the page has in memory of every conversation: what its list shows. The texts are in the browser's storage. */
import type { Conversation } from "./conversation.ts";

export type Listed = Pick<Conversation, "id" | "title" | "updatedAt">;

export const listedOf = ({ id, title, updatedAt }: Conversation): Listed => ({ id, title, updatedAt });

export const newestFirst = <T extends Listed>(list: readonly T[]): T[] =>
  [...list].sort((a, b) => b.updatedAt - a.updatedAt);
