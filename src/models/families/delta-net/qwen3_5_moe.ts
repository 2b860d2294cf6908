/** @file Qwen 3.5 with mixtures of experts in every layer. */

import type { Family } from "../family.ts";
import { qwenExperts } from "../readers/expert-fields.ts";
import { qwen35 } from "./qwen3_5.ts";

export const qwen35Moe: Family = {
  ...qwen35,
  modelType: "qwen3_5_moe_text",
  summary: "as `qwen3_5_text`, with mixtures of experts: softmax over all, a shared expert with a gate",
  defaults: {
    ...qwen35.defaults,
    numKvHeads: 2,
    // No layer has a dense feed-forward, so configs leave its width out.
    intermediateSize: 512,
  },
  experts(config, sizes) {
    const experts = qwenExperts(config, sizes, {
      ...{ numExperts: 256, topK: 8, width: 512, sharedWidth: 512 },
      normalizes: true,
    });
    // The published code divides by the sum of the chosen whatever the config says.
    const router = { ...experts.router, normalizes: true };
    return () => ({ ...experts, router });
  },
};
