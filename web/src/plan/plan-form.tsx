/** @file The form with the planner's inputs. */
import { useState } from "preact/hooks";
import { plainError } from "../engine/engine-store.ts";
import { WEIGHT_CHOICES } from "../engine/protocol.ts";
import { FileButton } from "../ui/file-button.tsx";
import { formatCount } from "../ui/format.ts";
import { useStore } from "../ui/store.ts";
import { CONTEXTS, changePlan, MEMORIES, MOST_SEQUENCES, openConfig, type Planner, planStore } from "./plan-store.ts";

const OWN = "own";

export function PlanForm({ planner }: { readonly planner: Planner }) {
  const { shape, own, memoryGB, context, sequences, weights, problem } = useStore(planStore);
  const [isOutOfRange, setIsOutOfRange] = useState(false);
  const open = async (file: File): Promise<void> => {
    try {
      changePlan({ own: await openConfig(planner, file) });
    } catch (error) {
      changePlan({ own: null, problem: `${file.name}: ${plainError(error).message}` });
    }
  };
  const memories = withOwn(MEMORIES, memoryGB, deviceGB());
  const contexts = withOwn(CONTEXTS, context);
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
          {memories.map((size) => (
            <option key={size} value={size}>
              {size} GB{size === deviceGB() ? ", this device at least" : ""}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span class="field-label">Context</span>
        <select value={context} onChange={({ currentTarget: { value } }) => changePlan({ context: Number(value) })}>
          {contexts.map((length) => (
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
          aria-invalid={isOutOfRange}
          aria-describedby={isOutOfRange ? "sequences-problem" : undefined}
          value={sequences}
          onChange={({ currentTarget }) => {
            const count = Math.round(currentTarget.valueAsNumber);
            const isPossible = count >= 1 && count <= MOST_SEQUENCES;
            setIsOutOfRange(!isPossible);
            if (isPossible) changePlan({ sequences: count });
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
      <FileButton
        class="button"
        inputLabel="A config.json"
        picks="file"
        accept=".json,application/json"
        onFiles={([file]) => void open(file!)}
      >
        Open a config.json
      </FileButton>
      {isOutOfRange && (
        <p id="sequences-problem" class="problem" role="alert">
          Sequences: 1 to {formatCount(MOST_SEQUENCES)}; the plan is for {formatCount(sequences)}.
        </p>
      )}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}

/** What this browser says of the device's memory, in GB, rounded down and at most what it tells anyone; null where it does not. */
function deviceGB(): number | null {
  const { deviceMemory } = navigator as { deviceMemory?: number };
  return deviceMemory !== undefined && deviceMemory >= 1 ? deviceMemory : null;
}

/** The offered numbers and those that are chosen otherwise, in order. */
const withOwn = (offered: readonly number[], ...own: readonly (number | null)[]): number[] =>
  [...new Set([...offered, ...own.filter((value) => value !== null)])].sort((a, b) => a - b);
