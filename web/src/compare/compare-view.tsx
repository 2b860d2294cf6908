/** @file Answers one prompt greedily under two or three cache formats at once, and marks the first token that differs. */
import { engineStore } from "../engine/engine-store.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { ColumnView } from "./column-view.tsx";
import { changeComparison, comparisonStore, MOST_FORMATS, startComparison, stopComparison } from "./compare-store.ts";

const SUGGESTIONS = [
  "f16",
  "k8v8",
  "k8v4",
  "k4v4",
  "k3v3",
  "k2v2",
  "k4v2",
  "paper-4",
  "paper-4+qjl",
  "paper-2",
  "q8_0",
  "q4_0r",
];
const LENGTHS = [16, 32, 64, 128, 256];

export function CompareView() {
  const { columns, problem } = useStore(comparisonStore);
  const { info } = useStore(engineStore);
  return (
    <section class="page page-wide">
      <h1>Compare</h1>
      <p class="lead">
        The same weights, the same prompt, each token the most likely one: only the cache differs. The first format is
        what the others are held against.
      </p>
      {info?.backendName === "server" ? (
        <p class="hint">A server keeps one format. Choose a model in this tab to compare several.</p>
      ) : (
        <CompareForm />
      )}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {columns.length > 0 && (
        <div class="columns" data-columns={columns.length}>
          {columns.map((column, index) => (
            <ColumnView key={index} column={column} reference={index === 0 ? null : columns[0]!} />
          ))}
        </div>
      )}
    </section>
  );
}

function CompareForm() {
  const { prompt, isRaw, formats, maxNewTokens, isRunning } = useStore(comparisonStore);
  const { status } = useStore(engineStore);
  const setFormat = (index: number, kv: string): void =>
    changeComparison({ formats: formats.map((old, i) => (i === index ? kv : old)) });
  return (
    <form
      class="compare-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (isRunning) stopComparison();
        else void startComparison();
      }}
    >
      <label class="field">
        <span class="field-label">Prompt</span>
        <textarea
          rows={3}
          value={prompt}
          onInput={({ currentTarget }) => changeComparison({ prompt: currentTarget.value })}
        />
      </label>
      <label class="choice">
        <input
          type="checkbox"
          checked={isRaw}
          onChange={({ currentTarget }) => changeComparison({ isRaw: currentTarget.checked })}
        />
        Continue the text, instead of answering it as a message
      </label>
      <div class="compare-row">
        <fieldset class="field formats">
          <legend class="field-label">Formats</legend>
          <div class="row">
            {formats.map((kv, index) => (
              <input
                key={index}
                class="format-input"
                list="formats"
                aria-label={index === 0 ? "Format 1, the reference" : `Format ${index + 1}`}
                spellcheck={false}
                autocapitalize="none"
                autocomplete="off"
                value={kv}
                onInput={({ currentTarget }) => setFormat(index, currentTarget.value)}
              />
            ))}
            <button
              type="button"
              class="icon-button"
              aria-label={formats.length < MOST_FORMATS ? "Add a format" : "Remove the last format"}
              onClick={() =>
                changeComparison({
                  formats: formats.length < MOST_FORMATS ? [...formats, "k3v3"] : formats.slice(0, -1),
                })
              }
            >
              <Icon name={formats.length < MOST_FORMATS ? "plus" : "close"} />
            </button>
          </div>
          <datalist id="formats">
            {SUGGESTIONS.map((kv) => (
              <option key={kv} value={kv} />
            ))}
          </datalist>
        </fieldset>
        <label class="field">
          <span class="field-label">Tokens</span>
          <select
            value={maxNewTokens}
            onChange={({ currentTarget }) => changeComparison({ maxNewTokens: Number(currentTarget.value) })}
          >
            {LENGTHS.map((length) => (
              <option key={length} value={length}>
                {length}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" class="button button-primary" disabled={status !== "ready" || prompt.trim() === ""}>
          {isRunning ? "Stop" : "Compare"}
        </button>
      </div>
    </form>
  );
}
