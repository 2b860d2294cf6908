/** @file Says where a column parts from the reference, how near the choice was there, and how often it would agree all the same. */
import { formatCount } from "../ui/format.ts";
import { type Column, forkOf } from "./columns.ts";

interface PartingProps {
  readonly column: Column;
  readonly reference: Column;
  readonly difference: number | null;
}

const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const quoted = (text: string): string => `“${text.trim() || "⏎"}”`;

export function Parting({ column, reference, difference }: PartingProps) {
  return (
    <div class="parting">
      <Verdict column={column} reference={reference} difference={difference} />
      {column.agreement && column.agreement.total > 0 && (
        <p class="agreement">
          Over {reference.kv}’s own text it would say the same next token{" "}
          <strong class="number">{percent(column.agreement.agreed / column.agreement.total)}</strong> of the time.
        </p>
      )}
    </div>
  );
}

function Verdict({ column, reference, difference }: PartingProps) {
  if (difference === null) {
    if (!column.result || !reference.result) return <p class="verdict">Same so far</p>;
    return <p class="verdict verdict-same">The same {formatCount(column.tokens.length)} tokens</p>;
  }
  const fork = forkOf(reference, column, difference);
  const at = `First difference at token ${formatCount(difference + 1)}`;
  if (!fork) return <p class="verdict">{at}, where one of the two ends</p>;
  const { mine, other, isNearTie } = fork;
  return (
    <>
      <p class="verdict">
        {at}: {isNearTie ? "a near tie, which the smallest change turns over" : "a clear choice, which turned over"}
      </p>
      <table class="fork">
        <thead>
          <tr>
            <th scope="col">
              <span class="visually-hidden">Next token</span>
            </th>
            <th scope="col">{reference.kv}</th>
            <th scope="col">{column.kv}</th>
          </tr>
        </thead>
        <tbody>
          {([0, 1] as const).map((i) => (
            <tr key={i}>
              <th scope="row">{quoted(i === 0 ? mine : other)}</th>
              <td class="number">{percent(fork.reference[i])}</td>
              <td class="number">{percent(fork.column[i])}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
