/** @file Answers one prompt greedily under two or three cache formats at once, and marks the first token that differs. */
import { DEFAULT_KV } from "../engine/engine-choice.ts";
import { engineStore, loadEngine } from "../engine/engine-store.ts";
import { modelsStore } from "../models/models-store.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { Term } from "../ui/term.tsx";
import { ColumnView } from "./column-view.tsx";
import {
  type Comparison,
  changeComparison,
  comparisonStore,
  MOST_FORMATS,
  startComparison,
  stopComparison,
} from "./compare-store.ts";
import { BEGINNING, QUESTIONS, STORY, TASK_NAMES, TASK_NOTES, TASKS } from "./tasks.ts";

const SUGGESTIONS = [
  "f16",
  "k8v8",
  "k8v4",
  "k4v4",
  "k3v3",
  "k2v2",
  "k4v2",
  "k1v1",
  "paper-4",
  "paper-4+qjl",
  "paper-2",
  "q8_0",
  "q4_0r",
];
const LENGTHS = [16, 32, 64, 128, 256];

export function CompareView() {
  const { columns, problem, shownTask } = useStore(comparisonStore);
  const info = useStore(engineStore, ({ info }) => info);
  return (
    <section class="page page-wide">
      <h1>Compare</h1>
      <p class="lead">
        The same model and the same text; only the <Term name="format">format</Term> of its{" "}
        <Term name="KV cache">memory</Term> differs. What does each remember, and where do their words part?
      </p>
      {info?.backendName === "server" ? <InTheTab /> : <CompareForm />}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {columns.length > 0 && (
        <div class="columns" data-columns={columns.length}>
          {columns.map((column, index) => (
            <ColumnView
              key={index}
              column={column}
              reference={index === 0 ? null : columns[0]!}
              questions={shownTask === "recall" ? QUESTIONS : []}
            />
          ))}
        </div>
      )}
    </section>
  );
}

/** A server keeps one format. */
function InTheTab() {
  const model = useStore(modelsStore)[0];
  if (!model) return <p class="hint">A server keeps one format. Choose a model in this tab to compare several.</p>;
  const load = (): void =>
    void loadEngine({
      where: "tab",
      model: { kind: "embedded", ...model },
      kv: DEFAULT_KV,
      backend: "auto",
      weights: "auto",
    });
  return (
    <p class="row row-wrap">
      <span class="hint">A server keeps one format.</span>
      <button type="button" class="button" onClick={load}>
        Compare with {model.name} in this tab
      </button>
    </p>
  );
}

function CompareForm() {
  const { task, prompt, isRaw, formats, maxNewTokens, isRunning } = useStore(comparisonStore);
  const status = useStore(engineStore, ({ status }) => status);
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
      <fieldset class="segmented segmented-wide">
        <legend class="visually-hidden">What is compared</legend>
        {TASKS.map((name) => (
          <label key={name} class="segment">
            <input type="radio" name="task" checked={task === name} onChange={() => changeComparison({ task: name })} />
            <span>{TASK_NAMES[name]}</span>
          </label>
        ))}
      </fieldset>
      <TaskText task={task} prompt={prompt} isRaw={isRaw} />
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
        {task !== "recall" && (
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
        )}
        <button
          type="submit"
          class="button button-primary"
          disabled={status !== "ready" || (task === "own" && prompt.trim() === "")}
        >
          {isRunning ? "Stop" : "Compare"}
        </button>
      </div>
    </form>
  );
}

/** The text of the task; one that is changed is one's own. */
function TaskText({ task, prompt, isRaw }: Pick<Comparison, "task" | "prompt" | "isRaw">) {
  const text = task === "recall" ? STORY : task === "continue" ? BEGINNING : prompt;
  return (
    <>
      <label class="field">
        <span class="field-label">Prompt</span>
        <textarea
          rows={3}
          dir="auto"
          value={text}
          onInput={({ currentTarget }) => changeComparison({ task: "own", prompt: currentTarget.value })}
        />
        <span class="hint">{TASK_NOTES[task]}</span>
      </label>
      {task === "own" && (
        <label class="choice">
          <input
            type="checkbox"
            checked={isRaw}
            onChange={({ currentTarget }) => changeComparison({ isRaw: currentTarget.checked })}
          />
          Continue the text, instead of answering it as a message
        </label>
      )}
    </>
  );
}
