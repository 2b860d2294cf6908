import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CounterRng } from "../math/rng.ts";
import { Sampler } from "./sampler.ts";
import { parseSamplingConfig, type SamplingOptions, type SamplingParams } from "./sampling-params.ts";

const sampler = (params: SamplingOptions): Sampler => new Sampler(parseSamplingConfig(params));

function gaussians(length: number, seed: number): Float32Array {
  const rng = new CounterRng(seed, 1);
  return Float32Array.from({ length }, (_, i) => rng.gaussian(i));
}

/**
 * Transformers' processors, step by step over the whole vocabulary: penalty, temperature, top-k, top-p, min-p. A token
 * that is cut has probability 0.
 */
function probabilities(logits: readonly number[], history: readonly number[], p: SamplingParams): number[] {
  let scores = logits.map((x, token) => {
    if (!history.includes(token)) return x;
    return x < 0 ? x * p.repetitionPenalty : x / p.repetitionPenalty;
  });
  const softmax = (list: readonly number[]): number[] => {
    const max = Math.max(...list);
    const weights = list.map((x) => Math.exp(x - max));
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / sum);
  };
  const order = (): number[] => scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b);
  const keep = (tokens: readonly number[]): void => {
    scores = scores.map((x, i) => (tokens.includes(i) ? x : Number.NEGATIVE_INFINITY));
  };
  scores = scores.map((x) => Math.fround(x) / p.temperature);
  if (p.topK > 0) keep(order().slice(0, p.topK));
  if (p.topP < 1) {
    const shares = softmax(scores);
    let before = 0;
    keep(
      order().filter((token, rank) => {
        const isKept = rank === 0 || before < p.topP;
        before += shares[token]!;
        return isKept;
      }),
    );
  }
  if (p.minP > 0) {
    const shares = softmax(scores);
    const top = Math.max(...shares);
    keep(order().filter((token) => shares[token]! >= p.minP * top));
  }
  return softmax(scores);
}

/** Pearson's statistic of observed counts against probabilities. */
function chiSquare(counts: readonly number[], shares: readonly number[]): number {
  const n = counts.reduce((a, b) => a + b, 0);
  return shares.reduce((sum, share, i) => (share > 0 ? sum + (counts[i]! - n * share) ** 2 / (n * share) : sum), 0);
}

describe("Sampler", () => {
  it("greedy takes the largest logit, the lowest token on ties, and reports its log-probability", () => {
    const { token, logprob, top } = sampler({}).sample(Float32Array.of(0, 2, 1, 2), []);
    expect(token).toBe(1);
    expect(logprob).toBeCloseTo(2 - Math.log(1 + 2 * Math.exp(2) + Math.E), 12);
    expect(top).toBeUndefined();
  });

  it("reports the most likely tokens, best first, whatever is drawn", () => {
    const logits = Float32Array.of(0, 2, 1, 2);
    for (const temperature of [0, 5]) {
      const { top } = sampler({ temperature, logprobs: 3 }).sample(logits, []);
      expect(top!.map((t) => t.token)).toEqual([1, 3, 2]);
      expect(top!.map((t) => t.logprob)).toEqual([...top!.map((t) => t.logprob)].sort((a, b) => b - a));
      const all = sampler({ temperature, logprobs: 100 }).sample(logits, []).top!;
      expect(all.reduce((sum, t) => sum + Math.exp(t.logprob), 0)).toBeCloseTo(1, 12);
    }
  });

  it("penalizes each token of the history once: positive logits shrink, negative ones grow", () => {
    const logits = Float32Array.of(3, 2.9, -1, -1.1);
    expect(sampler({ repetitionPenalty: 1.5 }).sample(logits, [0]).token).toBe(1);
    const { top } = sampler({ repetitionPenalty: 2, logprobs: 4 }).sample(logits, [0, 0, 2, 2]);
    const at = (token: number): number => top!.find((t) => t.token === token)!.logprob;
    expect(at(0) - at(1)).toBeCloseTo(1.5 - 2.9, 6);
    expect(at(2) - at(3)).toBeCloseTo(-2 + 1.1, 6);
    expect([...logits]).toEqual([...Float32Array.of(3, 2.9, -1, -1.1)]);
  });

  it("draws in proportion to what Transformers' cuts leave", () => {
    // 20,000 draws; 40 bounds Pearson's statistic with 11 degrees of freedom at a chance below 1e-4.
    const n = 20_000;
    const logits = Float32Array.from({ length: 12 }, (_, i) => Math.sin(3 * i) * 2);
    const settings: Partial<SamplingParams>[] = [
      { temperature: 1 },
      { temperature: 0.5 },
      { temperature: 1.7, topK: 5 },
      { temperature: 1, topP: 0.6 },
      { temperature: 1, minP: 0.2 },
      { temperature: 1.3, topK: 8, topP: 0.8, minP: 0.1, repetitionPenalty: 1.4 },
    ];
    for (const [i, setting] of settings.entries()) {
      const params = parseSamplingConfig({ ...setting, seed: 100 + i });
      const own = new Sampler(params);
      const history = [1, 4, 7];
      const counts = Array<number>(logits.length).fill(0);
      for (let draw = 0; draw < n; draw++) counts[own.sample(logits, history).token]!++;
      const shares = probabilities([...logits], history, params);
      shares.forEach((share, token) => {
        if (share === 0) expect(counts[token]).toBe(0);
      });
      expect(chiSquare(counts, shares)).toBeLessThan(40);
      expect(chiSquare(counts, shares)).toBeGreaterThan(0);
    }
  });

  it("keeps exactly the tokens that Transformers' cuts keep, over random settings", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -40, max: 40 }), { minLength: 2, maxLength: 30 }),
        fc.record({
          temperature: fc.constantFrom(0.3, 1, 2.5),
          topK: fc.constantFrom(0, 1, 3, 50),
          topP: fc.constantFrom(0, 0.37, 0.913, 1),
          minP: fc.constantFrom(0, 0.0123, 0.57, 1),
        }),
        fc.nat(1000),
        (list, setting, seed) => {
          const params = parseSamplingConfig({ ...setting, seed });
          const logits = list.map((x) => x / 7);
          const shares = probabilities(logits.map(Math.fround), [], params);
          const own = new Sampler(params);
          for (let i = 0; i < 20; i++)
            expect(shares[own.sample(Float32Array.from(logits), []).token]).toBeGreaterThan(0);
        },
      ),
      { numRuns: 200, seed: 20260105 },
    );
  });

  it("cuts a large vocabulary as a full sort would, also when the kept set is large", () => {
    const size = 20_000;
    const logits = gaussians(size, 7);
    for (const params of [
      { topP: 0.9 },
      { topP: 0.05 },
      { minP: 0.1 },
      { minP: 0.6, topP: 0.5 },
      { topK: 40, topP: 0.95 },
    ] as Partial<SamplingParams>[]) {
      const resolved = parseSamplingConfig({ temperature: 0.9, seed: 3, ...params });
      const own = new Sampler(resolved);
      const weights = Array.from(logits, (x, token) => ({ token, w: Math.exp(x / 0.9) })).sort((a, b) => b.w - a.w);
      const inK = resolved.topK > 0 ? weights.slice(0, resolved.topK) : weights;
      const total = inK.reduce((sum, { w }) => sum + w, 0);
      let before = 0;
      const kept = inK.filter(({ w }, rank) => {
        const isKept = rank === 0 || (before < resolved.topP * total && w >= resolved.minP * inK[0]!.w);
        before += w;
        return isKept;
      });
      const mass = kept.reduce((sum, { w }) => sum + w, 0);
      for (let draw = 0; draw < 5; draw++) {
        let rest = new CounterRng(3, 0x5a11).uniform(draw) * mass;
        const expected = kept.find(({ w }) => (rest -= w) < 0)!.token;
        expect(own.sample(logits, []).token).toBe(expected);
      }
    }
  });

  it("repeats itself for a seed and differs between seeds", () => {
    const logits = gaussians(100, 1);
    const run = (seed: number): number[] => {
      const own = sampler({ temperature: 1, seed });
      return Array.from({ length: 30 }, () => own.sample(logits, []).token);
    };
    expect(run(5)).toEqual(run(5));
    expect(run(5)).not.toEqual(run(6));
  });

  it("goes on where an answer left off, with the stream and the penalties", () => {
    const logits = gaussians(100, 1);
    for (const frequencyPenalty of [0, 2]) {
      const whole = sampler({ temperature: 1, seed: 5, frequencyPenalty });
      const tokens = Array.from({ length: 30 }, () => whole.sample(logits, []).token);
      const rest = sampler({ temperature: 1, seed: 5, frequencyPenalty, drawnBefore: tokens.slice(0, 10) });
      expect(rest.uniform(0)).toBe(whole.uniform(10));
      expect(Array.from({ length: 20 }, () => rest.sample(logits, []).token)).toEqual(tokens.slice(10));
    }
  });

  it("refuses logits that are not finite and names the first", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const logits = Float32Array.of(0, 1, bad, Number.NaN);
      for (const temperature of [0, 1]) {
        expect(() => sampler({ temperature }).sample(logits, [])).toThrow(
          `logits are not finite (token 2: ${bad}); the weights are damaged`,
        );
      }
    }
    expect(() => sampler({}).sample(new Float32Array(0), [])).toThrow("not finite");
  });

  it("adds biases before everything else, to the reported probabilities too", () => {
    const logits = gaussians(50, 4);
    const own = sampler({ logitBias: [[7, 100]], logprobs: 1 });
    const { token, logprob, top } = own.sample(logits, []);
    expect(token).toBe(7);
    expect(logprob).toBeCloseTo(0, 6);
    expect(top).toEqual([{ token: 7, logprob }]);
    const best = sampler({}).sample(logits, []).token;
    expect(sampler({ logitBias: [[best, -100]] }).sample(logits, []).token).not.toBe(best);
  });

  it("takes frequency and presence penalties for what it has drawn, not for the prompt", () => {
    const logits = Float32Array.of(1, 0.8, 0.5);
    const draw = (params: Partial<SamplingParams>, count: number): number[] => {
      const own = sampler(params);
      return Array.from({ length: count }, () => own.sample(logits, [0, 0, 0]).token);
    };
    // 1 → 0.7 after one draw: below 0.8; then 0.8 → 0.5, and 0.7 is the largest again.
    expect(draw({ frequencyPenalty: 0.3 }, 4)).toEqual([0, 1, 0, 1]);
    // Once and no more: all three are lowered alike, so the largest stays it.
    expect(draw({ presencePenalty: 0.6 }, 5)).toEqual([0, 1, 2, 0, 0]);
  });
});

describe("a sampler whose log-probabilities nobody wants", () => {
  it("draws the same tokens and leaves them out, unless the likely ones are asked for", () => {
    for (const temperature of [0, 0.8]) {
      const params = parseSamplingConfig({ temperature, seed: 3 });
      const [all, few] = [new Sampler(params), new Sampler({ ...params, wantsLogprob: false })];
      for (let seed = 0; seed < 20; seed++) {
        const logits = gaussians(300, seed);
        const sample = few.sample(logits, []);
        expect(sample).toEqual({ token: all.sample(logits, []).token });
      }
    }
    const asked = new Sampler(parseSamplingConfig({ logprobs: 2, wantsLogprob: false })).sample(gaussians(300, 1), []);
    expect(asked.top).toHaveLength(2);
    expect(asked.logprob).toBe(asked.top![0]!.logprob);
  });
});
