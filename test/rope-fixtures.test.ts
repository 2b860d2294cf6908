/** @file Rope scalings against the inverse frequencies that Transformers computes from the same config fields. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseModelConfig } from "../src/models/config.ts";
import { ropeFor } from "../src/models/rope.ts";
import { repoRoot } from "./support/shared.ts";

interface Fixture {
  readonly name: string;
  readonly rope_parameters: Record<string, unknown>;
  readonly max_position_embeddings: number;
  readonly seq_len: number | null;
  readonly inv_freq: number[];
  readonly attention_factor: number;
}

describe("ropeFor agrees with Transformers 5.17", () => {
  const fixtures = JSON.parse(
    readFileSync(join(repoRoot, "test/fixtures/rope/transformers-5.17.json"), "utf8"),
  ) as Fixture[];
  it.each(fixtures)("$name", ({ rope_parameters, max_position_embeddings, seq_len, inv_freq, attention_factor }) => {
    const { rope_theta, ...rope_scaling } = rope_parameters;
    const sizes = {
      vocab_size: 100,
      hidden_size: 256,
      num_hidden_layers: 1,
      num_attention_heads: 4,
      intermediate_size: 64,
    };
    const base = { model_type: "llama", ...sizes, head_dim: 64, max_position_embeddings };
    for (const spelling of [{ rope_parameters }, { rope_theta, rope_scaling }]) {
      const config = parseModelConfig({ ...base, ...spelling }, "config.json");
      const { rope } = ropeFor(config, seq_len ?? 0);
      expect(rope.invFreq.length).toBe(inv_freq.length);
      // Transformers computes in f32: powers, logarithms and the ramp are each off by a few units in the 24th bit.
      for (const [i, expected] of inv_freq.entries())
        expect(Math.abs(rope.invFreq[i]! / expected - 1)).toBeLessThan(2e-6);
      expect(Math.abs(rope.attentionFactor / attention_factor - 1)).toBeLessThan(1e-12);
    }
  });
});
