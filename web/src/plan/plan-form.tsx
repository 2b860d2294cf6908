/** @file The form with the planner's inputs. */
import { useRef, useState } from "preact/hooks";
import { plainError } from "../engine/engine-store.ts";
import { WEIGHT_CHOICES } from "../engine/protocol.ts";
import { formatCount } from "../ui/format.ts";
import { useStore } from "../ui/store.ts";
import { CONTEXTS, changePlan, MEMORIES, openConfig, type Planner, planStore } from "./plan-store.ts";

const OWN = "own";
const MOST_SEQUENCES = 4096;

export function PlanForm({ planner }: { readonly planner: Planner }) {
  const { shape, own, memoryGB, context, sequences, weights } = useStore(planStore);
  const input = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState("");
  const open = async (file: File): Promise<void> => {
    setProblem("");
    try {
      changePlan({ own: await openConfig(planner, file) });
    } catch (error) {
      setProblem(plainError(error).message);
    }
  };
  return (
    <form class="plan-form" onSubmit={(event) => event.preventDefault()}>
      <label class="field">
        <span class="field-label">Model</span>
        <select
          value={own ? OWN : shape}
          onChange={({ currentTarget: { value } }) => changePlan({ own: null, shape: value })}
        >
          {own && <option value={OWN}>{own.modelType}, your config.json</option>}
          {planner.shapeNames.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span class="field-label">Memory</span>
        <select value={memoryGB} onChange={({ currentTarget: { value } }) => changePlan({ memoryGB: Number(value) })}>
          {MEMORIES.map((size) => (
            <option key={size} value={size}>
              {size} GB
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span class="field-label">Context</span>
        <select value={context} onChange={({ currentTarget: { value } }) => changePlan({ context: Number(value) })}>
          {CONTEXTS.map((length) => (
            <option key={length} value={length}>
              {formatCount(length)}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span class="field-label">Sequences</span>
        <input
          type="number"
          min={1}
          max={MOST_SEQUENCES}
          value={sequences}
          onChange={({ currentTarget }) => {
            const count = Math.round(currentTarget.valueAsNumber);
            if (count >= 1 && count <= MOST_SEQUENCES) changePlan({ sequences: count });
            else currentTarget.value = String(sequences);
          }}
        />
      </label>
      <label class="field">
        <span class="field-label">Weights</span>
        <select
          value={weights}
          onChange={({ currentTarget: { value } }) =>
            changePlan({ weights: WEIGHT_CHOICES.find((name) => name === value) ?? "auto" })
          }
        >
          {WEIGHT_CHOICES.map((name) => (
            <option key={name} value={name}>
              {name === "auto" ? "as stored" : name}
            </option>
          ))}
        </select>
      </label>
      <button type="button" class="button" onClick={() => input.current?.click()}>
        Open a config.json
      </button>
      <input
        ref={input}
        type="file"
        accept=".json,application/json"
        class="visually-hidden"
        tabIndex={-1}
        aria-label="A config.json"
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          currentTarget.value = "";
          if (file) void open(file);
        }}
      />
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}
