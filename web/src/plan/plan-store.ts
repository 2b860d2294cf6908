/** @file The store of the plan view: a model, an amount of memory, a number of sequences. */
import type { MemoryPlan, PlanNote, PlannedModel } from "turboquant/plan";
import { WEIGHT_CHOICES, type WeightChoice } from "../engine/protocol.ts";
import { formatCount } from "../ui/format.ts";
import { linkTo, routeStore, setAddress } from "../ui/route.ts";
import { createStore } from "../ui/store.ts";

export interface PlanForm {
  /** A name of `shapeNames`, or the name of the config.json that was opened. */
  readonly shape: string;
  readonly own: PlannedModel | null;
  readonly memoryGB: number;
  readonly context: number;
  readonly sequences: number;
  readonly weights: WeightChoice;
  /** Why a config.json could not be read; empty without one. */
  readonly problem: string;
}

export interface Planned {
  readonly plan: MemoryPlan;
  readonly notes: readonly PlanNote[];
}

/** Memory of common devices, in GB as their makers state it. */
export const MEMORIES = [8, 12, 16, 24, 32, 48, 64, 80, 96, 128] as const;
export const CONTEXTS = [4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288, 1_048_576] as const;

const START: PlanForm = {
  shape: "qwen3-8b",
  own: null,
  memoryGB: 24,
  context: 131_072,
  sequences: 1,
  weights: "auto",
  problem: "",
};

/** The most sequences that the form takes. */
export const MOST_SEQUENCES = 4096;
const MOST_GB = 4096;
const MOST_CONTEXT = 2 ** 24;

/** A plan of an address; what is missing there or cannot be is as at the start. */
export function planOfQuery(query: string): PlanForm {
  const params = new URLSearchParams(query);
  const number = (name: string, most: number, otherwise: number): number => {
    const value = Number(params.get(name) ?? Number.NaN);
    return value >= 1 && value <= most ? value : otherwise;
  };
  return {
    ...START,
    shape: params.get("model") ?? START.shape,
    memoryGB: number("memory", MOST_GB, START.memoryGB),
    context: Math.round(number("context", MOST_CONTEXT, START.context)),
    sequences: Math.round(number("sequences", MOST_SEQUENCES, START.sequences)),
    weights: WEIGHT_CHOICES.find((name) => name === params.get("weights")) ?? START.weights,
  };
}

/** The address of a plan. A config.json of the user's is not part of it. */
export const queryOfPlan = ({ shape, memoryGB, context, sequences, weights }: PlanForm): string =>
  new URLSearchParams({
    model: shape,
    memory: String(memoryGB),
    context: String(context),
    sequences: String(sequences),
    weights,
  }).toString();

export const planStore = createStore<PlanForm>(START);

export function changePlan(change: Partial<PlanForm>): void {
  planStore.update((form) => ({ ...form, problem: "", ...change }));
  setAddress(linkTo("plan", "", queryOfPlan(planStore.get())), false);
}

/** Called when the view is shown: what its address says, if it says something. */
export function takeAddress(): void {
  const { query } = routeStore.get();
  if (query && query !== queryOfPlan(planStore.get())) planStore.set(planOfQuery(query));
}

/** The planner, which is loaded when its view is opened first. */
export type Planner = typeof import("turboquant/plan");
export const loadPlanner = (): Promise<Planner> => import("turboquant/plan");

const BYTES_PER_GB = 1e9;

/** @throws TurboQuantError — a number out of range */
export function makePlan({ planMemory, planNotes, modelOfConfig, shapeConfig }: Planner, form: PlanForm): Planned {
  const { own, shape, memoryGB, context, sequences, weights } = form;
  const model = own ?? modelOfConfig(shapeConfig(shape), shape);
  const plan = planMemory(model, { memoryBytes: memoryGB * BYTES_PER_GB, context, sequences, weights });
  return { plan, notes: planNotes(plan) };
}

/** What would fit where nothing does: a shorter text, or weights in fewer bits. Empty where neither helps. */
export function wayOut(planner: Planner, form: PlanForm): string {
  const ways: string[] = [];
  for (const weights of [form.weights, ...WEIGHT_CHOICES.filter((name) => name !== form.weights && name !== "auto")]) {
    const { best, formats } = makePlan(planner, { ...form, weights }).plan;
    const longest = formats.reduce((most, format) => (format.longestContext > most.longestContext ? format : most));
    const name = weights === form.weights ? "" : `with ${weights} weights `;
    if (best) return [...ways, `${name}${best.kv} holds all of it`].join("; ");
    if (longest.longestContext > 0)
      ways.push(`${name}${longest.kv} holds ${formatCount(longest.longestContext)} tokens`);
  }
  return ways.join("; ");
}

/** @throws TurboQuantError — not a config.json, or one of a model whose cache cannot be planned */
export async function openConfig({ plannedModel }: Planner, file: File): Promise<PlannedModel> {
  const text = await file.text();
  let json: unknown = null;
  try {
    json = JSON.parse(text);
  } catch {
    // null makes the planner throw its own error, which says what it expected.
  }
  return plannedModel(json, file.name);
}
