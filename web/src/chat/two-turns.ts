/** @file A conversation for tests. */
import { ask, type Conversation, changeAnswer, newConversation } from "./conversation.ts";

/** Two questions, both answered. */
export function twoTurns(): Conversation {
  let conversation = newConversation("Be brief.", 1);
  for (const [question, answer] of [
    ["One?", "1"],
    ["Two?", "2"],
  ] as const) {
    conversation = ask(conversation, question, { now: 2 });
    conversation = changeAnswer(conversation, conversation.messages.at(-1)!.id, { text: answer, state: "done" });
  }
  return conversation;
}

export const textsOf = ({ messages }: Conversation): string[] => messages.map(({ text }) => text);
