/** @file What can be done when a message does not fit the context: which formats hold it, what may be left out. */
import { type Conversation, startOf } from "../chat/conversation.ts";
import type { ModelInfo } from "../engine/protocol.ts";
import type { DocumentText } from "./read-document.ts";

/** Formats of the cache that hold so many tokens on this device, those with the most bits first; and those that do not. */
export function formatsThatHold(
  { reaches }: Pick<ModelInfo, "reaches">,
  tokens: number,
): { readonly hold: readonly string[]; readonly short: readonly string[] } {
  const of = (holds: boolean): string[] =>
    reaches.filter((reach) => reach.tokens >= tokens === holds).map(({ kv }) => kv);
  return { hold: of(true), short: of(false) };
}

/** Questions of the user before the last one that the model still sees: those that can be left out. */
export function oldTurns({ messages, from }: Conversation): readonly string[] {
  return messages
    .slice(startOf({ messages, from }))
    .flatMap(({ id, role }) => (role === "user" ? [id] : []))
    .slice(0, -1);
}

/**
 * A document's beginning and end in the room that there is, cut between paragraphs or lines where one is near, with a mark where
 * something is left out.
 *
 * share: of its characters, 0 to 1
 */
export function shortened({ text }: Pick<DocumentText, "text">, share: number): string {
  const room = Math.floor(text.length * share);
  if (room >= text.length) return text;
  const head = text.slice(0, Math.ceil(room * 0.6));
  const tail = text.slice(text.length - Math.floor(room * 0.4));
  return `${headOf(head)}\n\n[…]\n\n${tailOf(tail)}`.trim();
}

/** How far a cut is moved for a better place. */
const NEAR = 200;

function headOf(text: string): string {
  const at = Math.max(text.lastIndexOf("\n"), text.lastIndexOf(". ") + 1);
  return (text.length - at < NEAR && at > 0 ? text.slice(0, at) : text).trimEnd();
}

function tailOf(text: string): string {
  const places = [text.indexOf("\n"), text.indexOf(". ") + 1].filter((at) => at > 0 && at < NEAR);
  return text.slice(places.length > 0 ? Math.min(...places) : 0).trimStart();
}
