/** @file The view that tells whether a model fits a memory, with which cache format, and for how long a context. */
import { useEffect, useState } from "preact/hooks";
import { plainError } from "../engine/engine-store.ts";
import { formatBytes, formatCount } from "../ui/format.ts";
import { routeStore } from "../ui/route.ts";
import { useStore } from "../ui/store.ts";
import { PlanForm as Form } from "./plan-form.tsx";
import {
  loadPlanner,
  makePlan,
  type PlanForm,
  type Planned,
  type Planner,
  planStore,
  takeAddress,
  wayOut,
} from "./plan-store.ts";
import { PlanTable } from "./plan-table.tsx";

export function PlanView() {
  const form = useStore(planStore);
  const [planner, setPlanner] = useState<Planner | null>(null);
  useEffect(() => void loadPlanner().then(setPlanner), []);
  const query = useStore(routeStore, (route) => route.query);
  useEffect(takeAddress, [query]);
  const { planned, problem } = planner ? attempt(planner, form) : { planned: null, problem: "" };
  return (
    <section class="page page-wide" aria-busy={planner === null}>
      <h1>Plan</h1>
      <p class="lead">
        Which model fits which memory, and how long a context with which cache: the bytes that the engine allocates,
        nothing rounded away.
      </p>
      {planner && <Form planner={planner} />}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {planner && planned && !form.problem && <Result planner={planner} form={form} planned={planned} />}
    </section>
  );
}

function attempt(planner: Planner, form: Parameters<typeof makePlan>[1]) {
  try {
    return { planned: makePlan(planner, form), problem: "" };
  } catch (error) {
    return { planned: null, problem: plainError(error).message };
  }
}

interface ResultProps {
  readonly planner: Planner;
  readonly form: PlanForm;
  readonly planned: Planned;
}

function Result({ planner, form, planned: { plan, notes } }: ResultProps) {
  const { best, weights, context, sequences } = plan;
  const load = `${sequences === 1 ? "" : `${formatCount(sequences)} × `}${formatCount(context)} tokens`;
  return (
    <>
      <p class="plan-verdict" role="status">
        {best ? (
          <>
            <strong class="saving">{best.kv}</strong> holds {load} and leaves {formatBytes(best.freeBytes)}.
          </>
        ) : (
          <NoFormat load={load} way={wayOut(planner, form)} />
        )}{" "}
        <span class="faint">
          Weights take {formatBytes(weights.bytes)}: {formatCount(weights.parameters / 1e6)} M parameters in{" "}
          {weights.type}.
        </span>
      </p>
      <PlanTable plan={plan} />
      {notes.length > 0 && (
        <ul class="plan-notes">
          {notes.map(({ text }) => (
            <li key={text}>{text}.</li>
          ))}
        </ul>
      )}
    </>
  );
}

const NoFormat = ({ load, way }: { readonly load: string; readonly way: string }) => (
  <>
    No format holds {load} in this memory{way ? `; ${way}.` : ". A smaller model or more memory would."}
  </>
);
