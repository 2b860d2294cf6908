/** @file The column of one format: its answer, where it differs from the reference, and the size of its cache. */
import { comparedSize, formatBytes, formatCount, formatRate } from "../ui/format.ts";
import { type Column, firstDifference, partsOf } from "./columns.ts";

interface ColumnViewProps {
  readonly column: Column;
  /** null in the column of the reference itself. */
  readonly reference: Column | null;
}

export function ColumnView({ column, reference }: ColumnViewProps) {
  const { kv, result, tokens, prefill } = column;
  const difference = reference ? firstDifference(reference, column) : null;
  const [same, other, rest] = partsOf(column, difference);
  return (
    <article class="column" aria-label={kv} aria-busy={result === null}>
      <header class="column-head">
        <h2>{kv}</h2>
        {!reference && <span class="tag">reference</span>}
      </header>
      {tokens.length === 0 ? (
        <progress value={prefill} max={1} aria-label={`${kv}: reading the prompt`} />
      ) : (
        <p class="column-text">
          {same.trimStart()}
          {difference !== null && <mark>{other === "" ? "⟨end⟩" : other}</mark>}
          <span class="after-difference">{rest}</span>
        </p>
      )}
      <footer class="column-foot">
        {reference && <Verdict column={column} reference={reference} difference={difference} />}
        {result && (
          <dl class="figures-list">
            <div>
              <dt>Cache</dt>
              <dd class="number">{formatBytes(result.numBytes)}</dd>
            </div>
            <div>
              <dt>Beside f16</dt>
              <dd class="number">{comparedSize(result.numBytes, result.f16Bytes)}</dd>
            </div>
            <div>
              <dt>Decode</dt>
              <dd class="number">{formatRate(result.decodeTokPerSec)} tok/s</dd>
            </div>
          </dl>
        )}
      </footer>
    </article>
  );
}

interface VerdictProps {
  readonly column: Column;
  readonly reference: Column;
  readonly difference: number | null;
}

function Verdict({ column, reference, difference }: VerdictProps) {
  if (difference !== null) {
    const instead = reference.tokens[difference]?.text ?? "";
    return (
      <p class="verdict">
        First difference at token {formatCount(difference + 1)}
        {instead.trim() !== "" && <>, where the reference says “{instead.trim()}”</>}
      </p>
    );
  }
  if (!column.result || !reference.result) return <p class="verdict">Same so far</p>;
  return <p class="verdict verdict-same">The same {formatCount(column.tokens.length)} tokens</p>;
}
