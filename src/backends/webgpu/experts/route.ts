/** @file The choice of experts, of each row on the device. */
import { assert } from "../../../errors.ts";
import type { Router } from "../../experts.ts";
import { Struct } from "../../parameters/struct.ts";
import { asGpuWeight } from "../linear/gpu-weight.ts";
import type { GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shader } from "../queue/shader-text.ts";
import { RepeatedDispatches } from "./repeated-dispatches.ts";

const THREADS = 64;

const params = new Struct({
  stride: ["u32", "Values from a row of logits to the next."],
  groupsChosen: "u32",
  epsilon: "f32",
  scale: "f32",
  jitter: "f32",
});

export class RouteKernels {
  readonly #commands: Commands;
  readonly #repeated: RepeatedDispatches<Router>;

  constructor(commands: Commands) {
    this.#commands = commands;
    this.#repeated = new RepeatedDispatches(commands);
  }

  /** See `Ops.route`. */
  run(logits: GpuBuffer, router: Router, rows: number, routes: GpuBuffer): void {
    this.#repeated.run(router, { rows, add: false }, [logits, routes], () => {
      const { stride, groups, epsilon, scale, jitter } = router;
      const values = { stride, groupsChosen: groups?.chosen ?? 0, epsilon, scale, jitter };
      const vectors = [router.bias, router.expertScales].flatMap((vector) =>
        vector ? asGpuWeight(vector).buffer : [],
      );
      return [this.#commands.prepare(this.#router(router), values, [logits, routes, ...vectors], rows, 1)];
    });
  }

  #router(router: Router): Kernel<typeof params> {
    const { numExperts, topK, score, scoresChosen, bias, expertScales, groups, normalizes } = router;
    assert(score !== "sqrtsoftplus", "route: no kernel for this score");
    const vectors = [bias, expertScales].filter((vector) => vector !== null);
    const values = {
      THREADS,
      EXPERTS: numExperts,
      TOP_K: topK,
      SOFTMAX: score === "softmax" && !scoresChosen,
      SIGMOID: score === "sigmoid" && !scoresChosen,
      CHOSEN_SOFTMAX: score === "softmax" && scoresChosen,
      CHOSEN_SIGMOID: score === "sigmoid" && scoresChosen,
      SPARSE: score === "sparsemixer",
      BIASED: bias !== null,
      SCALED: expertScales !== null,
      SCALES_AT: 2 + vectors.length,
      GROUPED: groups !== null && groups.chosen < groups.count,
      GROUPS: groups?.count ?? 1,
      BEST_TWO: groups?.by === "bestTwo",
      NORMALIZED: normalizes,
    };
    return this.#commands.kernel(`route ${JSON.stringify(values)}`, () => ({
      label: `route, ${score}`,
      shader: shader("route", params, values),
      buffers: ["read", "write", ...vectors.map(() => "read" as const)],
    }));
  }
}
