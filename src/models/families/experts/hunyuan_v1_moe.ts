/** @file Hunyuan A13B: Hunyuan with mixtures of experts and a shared expert in every layer. */

import { hunyuanV1Dense } from "../dense/hunyuan_v1_dense.ts";
import type { Family } from "../family.ts";
import {
  expertSizes,
  MLP_EXPERTS,
  SOFTMAX_ROUTER,
  sameForAll,
  sharedExpert,
  swigluExperts,
} from "../readers/expert-fields.ts";

export const hunyuanV1Moe: Family = {
  ...hunyuanV1Dense,
  modelType: "hunyuan_v1_moe",
  summary:
    "norms of the heads of q and k behind rope; rope with a factor of theta; a mixture of experts: softmax over all, normalized, a shared expert",
  experts(config, sizes) {
    const own = expertSizes(config, { topK: 1 }, "intermediate_size");
    const count = sameForAll(config, "num_shared_expert", 1, 64, 1);
    const experts = {
      ...own,
      ...swigluExperts(sizes),
      router: { ...SOFTMAX_ROUTER, normalizes: true },
      shared: sharedExpert("mlp.shared_mlp", own.width * count),
      names: [{ ...MLP_EXPERTS, router: "mlp.gate.wg" }],
    };
    return () => experts;
  },
};
