/** @file The column of one format: what it remembers or says, where it parts from the reference, and the size of its cache. */
import { TELLING_TOKENS } from "../cache-panel/format-names.ts";
import type { RecallQuestion } from "../engine/protocol.ts";
import { comparedSize, formatBytes, formatCount } from "../ui/format.ts";
import { Icon } from "../ui/icon.tsx";
import { type Column, firstDifference, partsOf } from "./columns.ts";
import { Parting } from "./parting.tsx";

interface ColumnViewProps {
  readonly column: Column;
  /** null in the column of the reference itself. */
  readonly reference: Column | null;
  /** Empty where a text is continued. */
  readonly questions: readonly RecallQuestion[];
}

export function ColumnView({ column, reference, questions }: ColumnViewProps) {
  const { kv, result, tokens, answers, prefill, isStopped } = column;
  const isEmpty = tokens.length === 0 && answers.length === 0;
  return (
    <article class="column" aria-label={kv} aria-busy={result === null && !isStopped}>
      <header class="column-head">
        <h2>{kv}</h2>
        {!reference && <span class="tag">reference</span>}
      </header>
      {isEmpty && !isStopped && <progress value={prefill} max={1} aria-label={`${kv}: reading the prompt`} />}
      {isEmpty && isStopped && <p class="verdict">Stopped</p>}
      {!isEmpty &&
        (questions.length > 0 ? (
          <Recall column={column} questions={questions} isReference={!reference} />
        ) : (
          <Text column={column} reference={reference} />
        ))}
      {result && (
        <footer class="column-foot">
          <dl class="figures-list">
            <div>
              <dt>Cache of {formatCount(result.tokens)} tokens</dt>
              <dd class="number">{formatBytes(result.numBytes)}</dd>
            </div>
            {reference && (
              <div>
                <dt>Beside f16</dt>
                <dd class="number">
                  {result.tokens < TELLING_TOKENS
                    ? "too short to tell"
                    : comparedSize(result.numBytes, result.f16Bytes)}
                </dd>
              </div>
            )}
          </dl>
        </footer>
      )}
    </article>
  );
}

interface RecallProps {
  readonly column: Column;
  readonly questions: readonly RecallQuestion[];
  readonly isReference: boolean;
}

/** Question for question, what was remembered. */
function Recall({ column: { answers, isStopped }, questions, isReference }: RecallProps) {
  const found = answers.filter(({ isFound }) => isFound).length;
  const isWhole = answers.length === questions.length;
  return (
    <>
      <ul class="recall">
        {questions.map(({ ask, expected }, i) => {
          const answer = answers[i];
          return (
            <li key={ask} class={answer && !answer.isFound ? "recall-lost" : undefined}>
              <span class="faint">{ask}</span>
              {answer ? (
                <span class="recall-answer">
                  <Icon name={answer.isFound ? "check" : "close"} />
                  <span>
                    {answer.text || "no answer"}
                    {!answer.isFound && <span class="faint"> It was {expected}.</span>}
                  </span>
                </span>
              ) : (
                <span class="faint">{isStopped ? "not asked" : "…"}</span>
              )}
            </li>
          );
        })}
      </ul>
      {isWhole && (
        <p class={found === questions.length ? "verdict verdict-same" : "verdict verdict-lost"}>
          {found === questions.length ? `Remembers all ${found}` : `Remembers ${found} of ${questions.length}`}
          {isReference && found < questions.length && ": what is lost here, this model cannot find in any format"}
        </p>
      )}
    </>
  );
}

/** The text, with the token marked at which it parts from the reference. */
function Text({ column, reference }: Omit<ColumnViewProps, "questions">) {
  const difference = reference ? firstDifference(reference, column) : null;
  const [same, other, rest] = partsOf(column, difference);
  return (
    <>
      <p class="column-text" dir="auto">
        {same.trimStart()}
        {difference !== null && <mark>{other === "" ? "⟨end⟩" : other}</mark>}
        <span class="after-difference">{rest}</span>
      </p>
      {reference && <Parting column={column} reference={reference} difference={difference} />}
    </>
  );
}
