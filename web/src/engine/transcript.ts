/**
 * @file Recovers the messages of a saved cache from its tokens.
 *
 * A snapshot stores tokens, not messages. The chat template is rendered once with placeholders as messages. The text that it
 * puts between them is then searched for in the decoded tokens.
 */
import type { LLM } from "turboquant";

type Tokenizer = LLM["tokenizer"];

export interface Transcript {
  readonly system: string;
  readonly messages: readonly { readonly role: "user" | "assistant"; readonly text: string }[];
}

/** The text that the template puts around messages. */
export interface Frame {
  /** Text before the first user message. */
  readonly start: string;
  /** Text between a user message and the answer. */
  readonly toAnswer: string;
  /** Text between an answer and the next user message. */
  readonly toUser: string;
  /** Text before a system message, and between it and the first user message; null when the template has no system messages. */
  readonly system: readonly [string, string] | null;
}

const [USER, ANSWER, NEXT, SYSTEM] = [
  "\u2039user\u203a",
  "\u2039answer\u203a",
  "\u2039next\u203a",
  "\u2039system\u203a",
];

/** null when there is no template, or one that changes messages. */
export async function frameOf(tokenizer: Tokenizer): Promise<Frame | null> {
  if (!tokenizer.chatTemplate) return null;
  const turns = [
    { role: "user", content: USER },
    { role: "assistant", content: ANSWER },
    { role: "user", content: NEXT },
  ];
  const plain = await tokenizer.applyChatTemplate(turns, { addGenerationPrompt: true }).catch(() => "");
  const parts = split(plain, [USER, ANSWER, NEXT]);
  if (!parts) return null;
  const [start, toAnswer, toUser] = parts as [string, string, string];
  const withSystem = await tokenizer
    .applyChatTemplate([{ role: "system", content: SYSTEM }, ...turns], { addGenerationPrompt: true })
    .catch(() => "");
  const around = split(withSystem, [SYSTEM, USER]);
  return { start, toAnswer, toUser, system: around ? [around[0]!, around[1]!] : null };
}

/** The texts before each placeholder, or null when one is missing. */
function split(text: string, marks: readonly string[]): string[] | null {
  const parts: string[] = [];
  let rest = text;
  for (const mark of marks) {
    const at = rest.indexOf(mark);
    if (at < 0) return null;
    parts.push(rest.slice(0, at));
    rest = rest.slice(at + mark.length);
  }
  return parts;
}

export function parseTranscript(text: string, frame: Frame): Transcript | null {
  let system = "";
  let rest: string;
  if (text.startsWith(frame.start)) rest = text.slice(frame.start.length);
  else if (frame.system && text.startsWith(frame.system[0])) {
    const body = text.slice(frame.system[0].length);
    const end = body.indexOf(frame.system[1]);
    if (end < 0) return null;
    system = body.slice(0, end);
    rest = body.slice(end + frame.system[1].length);
  } else return null;

  const messages: { role: "user" | "assistant"; text: string }[] = [];
  const separators = [frame.toAnswer, frame.toUser];
  const roles = ["user", "assistant"] as const;
  for (let turn = 0; ; turn = 1 - turn) {
    const separator = separators[turn]!;
    const at = separator ? rest.indexOf(separator) : -1;
    if (at < 0) {
      messages.push({ role: roles[turn]!, text: turn === 1 ? withoutEnd(rest, separator) : rest });
      return { system, messages };
    }
    messages.push({ role: roles[turn]!, text: rest.slice(0, at) });
    rest = rest.slice(at + separator.length);
  }
}

/** Removes from the last answer those first characters of `separator` that were generated. */
function withoutEnd(text: string, separator: string): string {
  for (let length = Math.min(separator.length, text.length); length > 0; length--) {
    if (text.endsWith(separator.slice(0, length))) return text.slice(0, -length);
  }
  return text;
}

/** Where the template's text is not found, the whole text becomes one answer. */
export async function transcriptOf(tokenizer: Tokenizer, tokens: ArrayLike<number>): Promise<Transcript> {
  const text = tokenizer.decode(tokens);
  const frame = await frameOf(tokenizer);
  return (frame && parseTranscript(text, frame)) ?? { system: "", messages: [{ role: "assistant", text }] };
}
