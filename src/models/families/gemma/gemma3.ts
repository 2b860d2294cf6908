/** @file Gemma 3: Gemma 2 with norms of the heads of q and k instead of soft caps, and a rope of its own on sliding layers. */
import { MAX_POSITION } from "../../config-fields.ts";
import type { Family } from "../family.ts";
import { gemma } from "./gemma.ts";
import { GEMMA2_NAMES, gemma2Traits } from "./gemma2.ts";

const CONTEXT = 131_072;

export const gemma3: Family = {
  ...gemma,
  activationField: "hidden_activation",
  modelType: "gemma3_text",
  summary:
    "Gemma 2 with norms of the heads of q and k, no soft caps; sliding window on five of six layers, with a rope of its own",
  slidingWindow: "pattern",
  defaults: {
    ...gemma.defaults,
    numHeads: 8,
    numKvHeads: 4,
    vocabSize: 262_208,
    maxPosition: CONTEXT,
    windowPattern: 6,
    theta: 1e6,
    slidingTheta: 1e4,
  },
  // It is what the scaling of rope extends the length of training to.
  contextLength: (config) => config.integer("max_position_embeddings", 1, MAX_POSITION, CONTEXT),
  names: GEMMA2_NAMES,
  // Transformers reads `attn_logit_softcapping` into a Gemma 3 model and never applies it.
  traits: (config) => ({ ...gemma2Traits(config, { scores: 0, logits: 0 }), attentionSoftcap: 0, qkNorm: "head" }),
};
