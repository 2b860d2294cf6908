/** @file The contract of weights, products, elementwise operations and sampling against the WebGPU backend. */
import { describe, expect, it } from "vitest";
import { GPU_TIMEOUT_MS, gpuSkip } from "../support/gpu.ts";
import { isThorough } from "../support/optional.ts";
import { elementwiseContract } from "./elementwise.ts";
import { expertsContract } from "./experts.ts";
import { headsContract } from "./heads.ts";
import { linearContract } from "./linear.ts";
import { linearGroups } from "./linear-cases.ts";
import { samplingContract } from "./sampling.ts";
import { scanContract } from "./scan.ts";
import { FEW_DELTA_CASES, statesContract } from "./states.ts";
import { webGpuTarget } from "./webgpu-target.ts";
import { weightsContract } from "./weights.ts";

/** More take tiles, which have no subgroups in them. */
const ROWS_OF_SUBGROUPS = 8;

describe.skipIf(gpuSkip)(`webgpu${gpuSkip ? ` (${gpuSkip})` : ""}`, { timeout: GPU_TIMEOUT_MS }, () => {
  const target = webGpuTarget({ asHardware: true });
  weightsContract(target);
  linearContract(target, linearGroups(isThorough));
  elementwiseContract(target);
  headsContract(target, isThorough ? undefined : ["f16", "q8"]);
  statesContract(target, isThorough ? undefined : FEW_DELTA_CASES);
  scanContract(target);
  expertsContract(target, isThorough ? ["f32", "f16", "bf16", "q8", "q4"] : ["bf16", "q4"], !isThorough);
  samplingContract(target);

  describe("without subgroups", () => {
    const portable = webGpuTarget({ asHardware: true, without: ["subgroups"] });
    // How a weight is read does not depend on how the lanes of a group add up.
    const groups = linearGroups(isThorough, ["f16", "q4"]);
    linearContract(
      portable,
      groups.filter(({ rows }) => Math.max(...rows) <= ROWS_OF_SUBGROUPS),
    );
    expertsContract(portable, ["f16"]);
    samplingContract(portable, "selection");

    it("takes kernels without subgroups", () => {
      expect(portable.gpu().context.features).toMatchObject({ subgroups: false, subgroupSize: 0 });
    });
  });
});
