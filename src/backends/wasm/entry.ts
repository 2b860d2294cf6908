/** @file The face of the WASM backend. */
import type { Backend } from "../backend.ts";
import { capabilities } from "./capabilities.ts";
import { planner } from "./planner.ts";

export const wasm: Backend = {
  name: "wasm",
  runsOn: "cpu",
  isAutomatic: true,
  capabilities,
  planner,
};
