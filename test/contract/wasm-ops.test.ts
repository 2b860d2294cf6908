/** @file The contract of weights, products and elementwise operations against the WASM backend. */
import { describe } from "vitest";
import { elementwiseContract } from "./elementwise.ts";
import { expertsContract } from "./experts.ts";
import { groupedTokensContract } from "./grouped-tokens.ts";
import { headsContract } from "./heads.ts";
import { linearContract } from "./linear.ts";
import { linearGroups } from "./linear-cases.ts";
import { scanContract } from "./scan.ts";
import { statesContract } from "./states.ts";
import { wasmTarget } from "./wasm-target.ts";
import { weightsContract } from "./weights.ts";

describe("wasm", () => {
  weightsContract(wasmTarget);
  linearContract(wasmTarget, linearGroups(true));
  elementwiseContract(wasmTarget);
  headsContract(wasmTarget);
  statesContract(wasmTarget);
  scanContract(wasmTarget);
  groupedTokensContract(wasmTarget);
  expertsContract(wasmTarget, ["f32", "f16", "bf16", "q8", "q4"]);
});
