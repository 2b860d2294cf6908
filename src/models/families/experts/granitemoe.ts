/** @file Granite 3 with mixtures of experts. */

import { granite } from "../dense/granite.ts";
import type { Family } from "../family.ts";
import { graniteExperts } from "../readers/expert-fields.ts";

export const graniteMoe: Family = {
  ...granite,
  modelType: "granitemoe",
  summary: "Granite with a mixture of experts: softmax over the chosen",
  experts(config, sizes) {
    const experts = { ...graniteExperts(config, sizes), shared: null };
    return () => experts;
  },
};

/** With a feed-forward beside the experts. */
export const graniteMoeShared: Family = {
  ...graniteMoe,
  modelType: "granitemoeshared",
  summary: "Granite with a mixture of experts and a shared expert",
  experts(config, sizes) {
    const experts = graniteExperts(config, sizes);
    return () => experts;
  },
};
