/** @file Takes an answer apart into what the model thought and what it says. Thoughts stand before the answer, between <think> and </think>. */

const OPEN = "<think>";
const CLOSE = "</think>";

export interface Thought {
  /** Empty where the model did not think, or had nothing to think. */
  readonly thought: string;
  readonly answer: string;
  /** Whether the thought goes on. */
  readonly isOpen: boolean;
}

/** Some templates open the thought in the prompt, so that the answer has only its end. */
export function splitThought(text: string): Thought {
  const start = text.trimStart();
  const end = text.indexOf(CLOSE);
  if (start.startsWith(OPEN)) {
    const from = text.indexOf(OPEN) + OPEN.length;
    if (end < 0) return { thought: text.slice(from).trim(), answer: "", isOpen: true };
    return { thought: text.slice(from, end).trim(), answer: text.slice(end + CLOSE.length).trimStart(), isOpen: false };
  }
  // The beginning of the word may have arrived without its end.
  if (start !== "" && OPEN.startsWith(start)) return { thought: "", answer: "", isOpen: true };
  if (end < 0 || text.slice(0, end).includes(OPEN)) return { thought: "", answer: text, isOpen: false };
  return { thought: text.slice(0, end).trim(), answer: text.slice(end + CLOSE.length).trimStart(), isOpen: false };
}

/** What goes back into the prompt: models are made to see their earlier answers without thoughts. */
export const withoutThought = (text: string): string => splitThought(text).answer;

/** Puts a server's `reasoning_content` and `content` into one text, as models themselves write it. */
export class ThoughtWriter {
  #isThinking = false;

  write(reasoning: string, content: string): string {
    let text = "";
    if (reasoning) {
      if (!this.#isThinking) text += `${OPEN}\n`;
      this.#isThinking = true;
      text += reasoning;
    }
    if (content) {
      if (this.#isThinking) text += `\n${CLOSE}\n\n`;
      this.#isThinking = false;
      text += content;
    }
    return text;
  }
}
