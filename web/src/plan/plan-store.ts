/** @file The store of the plan view: a model, an amount of memory, a number of sequences. */
import type { MemoryPlan, PlanNote, PlannedModel } from "turboquant/plan";
import type { WeightChoice } from "../engine/protocol.ts";
import { createStore } from "../ui/store.ts";

export interface PlanForm {
  /** A name of `shapeNames`, or the name of the config.json that was opened. */
  readonly shape: string;
  readonly own: PlannedModel | null;
  readonly memoryGB: number;
  readonly context: number;
  readonly sequences: number;
  readonly weights: WeightChoice;
}

export interface Planned {
  readonly plan: MemoryPlan;
  readonly notes: readonly PlanNote[];
}

/** Memory of common devices, in GB as their makers state it. */
export const MEMORIES = [8, 12, 16, 24, 32, 48, 64, 80, 96, 128] as const;
export const CONTEXTS = [4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288, 1_048_576] as const;

export const planStore = createStore<PlanForm>({
  shape: "qwen3-8b",
  own: null,
  memoryGB: 24,
  context: 131_072,
  sequences: 1,
  weights: "auto",
});

export const changePlan = (change: Partial<PlanForm>): void => planStore.update((form) => ({ ...form, ...change }));

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
