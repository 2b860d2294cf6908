/** @file The face of the reference backend: for checking, not for speed. */
import type { Backend } from "../backend.ts";
import { EVERYTHING } from "../capabilities.ts";

export const reference: Backend = {
  name: "reference",
  runsOn: "cpu",
  isAutomatic: false,
  capabilities: EVERYTHING,
};
