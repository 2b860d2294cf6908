/** @file The face of the WebGPU backend. */
import type { Backend } from "../backend.ts";
import { capabilities } from "./capabilities.ts";
import { planner } from "./planner.ts";

export const webgpu: Backend = {
  name: "webgpu",
  runsOn: "gpu",
  isAutomatic: true,
  capabilities,
  planner,
};
