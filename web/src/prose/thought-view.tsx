/** @file What the model thought before its answer: folded, and one line while it is thinking. */
import { formatCount } from "../ui/format.ts";
import { Markdown } from "./markdown.tsx";
import { splitThought } from "./thought.ts";

/** isWriting: whether the answer is being written */
export function AnswerText({ text, isWriting }: { readonly text: string; readonly isWriting: boolean }) {
  const { thought, answer, isOpen } = splitThought(text);
  return (
    <>
      {thought !== "" && (
        <details class="thought">
          <summary>{isOpen && isWriting ? "Thinking…" : `Thought, ${countWords(thought)}`}</summary>
          <Markdown text={thought} />
        </details>
      )}
      {(answer !== "" || thought === "") && <Markdown text={answer} />}
    </>
  );
}

function countWords(text: string): string {
  const count = text.split(/\s+/).length;
  return count === 1 ? "one word" : `${formatCount(count)} words`;
}
