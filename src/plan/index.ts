/** @file The memory planner: arithmetic over a config.json that runs in any page or script. */
export type { BackendName } from "../backends/registry.ts";
export { TurboQuantError } from "../errors.ts";
export { shapeConfig, shapeNames } from "../models/shapes.ts";
export type { PlannedCache } from "./backend-plan.ts";
export { type CacheKind, cacheKinds } from "./cache-kinds.ts";
export { CacheMemory } from "./cache-memory.ts";
export { type MemoryPlan, PLANNED_FORMATS, type PlannedFormat, type PlanOptions, planMemory } from "./memory-plan.ts";
export { fixedStateBytes, type PlannedLayer, type PlannedModel, type PlannedWeight } from "./model-memory.ts";
export { type PlanNote, planNotes } from "./notes.ts";
export { modelOfConfig, plannedModel } from "./planned-model.ts";
export { readPlannedModel } from "./read-model.ts";
export type { WeightMemory } from "./weight-memory.ts";
