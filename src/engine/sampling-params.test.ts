import { describe, expect, it } from "vitest";
import { nthConfig, parseSamplingConfig, type SamplingConfig, type SamplingOptions } from "./sampling-params.ts";
import type { TokenConstraint } from "./token-constraint.ts";

const resolve = (options: Record<string, unknown>): SamplingConfig => parseSamplingConfig(options as SamplingOptions);

describe("parseSamplingConfig", () => {
  it("fills in greedy defaults and leaves out undefined", () => {
    expect(resolve({})).toMatchObject({ temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, stop: [] });
    expect(resolve({ topK: undefined, seed: 7 })).toMatchObject({ topK: 0, seed: 7 });
  });

  it("takes the model's defaults for what is not given, undefined included, and checks them as well", () => {
    const defaults = { temperature: 0.6, topK: 20 };
    expect(parseSamplingConfig({ topK: 5 }, defaults)).toMatchObject({ temperature: 0.6, topK: 5, topP: 1 });
    const options = { temperature: undefined, topK: undefined } as unknown as SamplingOptions;
    expect(parseSamplingConfig(options, defaults)).toMatchObject(defaults);
    expect(() => parseSamplingConfig({}, { topP: 2 })).toThrow("sampling: topP: expected a number from 0 to 1");
  });

  it("leaves options of other parts to them, by name", () => {
    const options = { seed: 3, signal: 1 } as SamplingOptions;
    expect(parseSamplingConfig(options, {}, { signal: true })).not.toHaveProperty("signal");
    expect(() => parseSamplingConfig(options)).toThrow("unknown option signal");
  });

  it("gives each continuation a seed and a fork of the constraint", () => {
    const forks: TokenConstraint[] = [];
    const constraint: TokenConstraint = {
      mask() {},
      advance() {},
      fork: () => forks[forks.push({ ...constraint }) - 1]!,
    };
    const config = parseSamplingConfig({ seed: 2 ** 32 - 1, topK: 3, constraint });
    const [first, second] = [nthConfig(config, 0), nthConfig(config, 1)];
    expect([first, second]).toMatchObject([
      { seed: 2 ** 32 - 1, topK: 3 },
      { seed: 0, topK: 3 },
    ]);
    expect([first.constraint, second.constraint]).toEqual(forks);
    expect(nthConfig(resolve({}), 1).constraint).toBeNull();
  });

  it("accepts both ends of each range and nothing beyond", () => {
    const ranges: Record<string, [number, number, number, number]> = {
      maxNewTokens: [1, 2 ** 31, 0, 1.5],
      temperature: [0, 100, -0.1, 101],
      topK: [0, 2 ** 31, -1, 0.5],
      topP: [0, 1, -0.1, 1.1],
      minP: [0, 1, -0.1, 1.1],
      repetitionPenalty: [0.01, 100, 0, 101],
      frequencyPenalty: [-2, 2, -2.1, 2.1],
      presencePenalty: [-2, 2, -2.1, 2.1],
      seed: [0, 2 ** 32 - 1, -1, 2 ** 32],
      logprobs: [0, 100, -1, 101],
    };
    for (const [name, [low, high, ...bad]] of Object.entries(ranges)) {
      expect(resolve({ [name]: low })).toMatchObject({ [name]: low });
      expect(resolve({ [name]: high })).toMatchObject({ [name]: high });
      for (const value of [...bad, Number.NaN, "1", null]) {
        expect(() => resolve({ [name]: value }), `${name}=${value}`).toThrow(`sampling: ${name}: expected a`);
      }
    }
    expect(() => resolve({ topP: "0.9" })).toThrow('topP: expected a number from 0 to 1, got "0.9"');
    expect(() => resolve({ topK: 2.5 })).toThrow("expected a whole number");
  });

  it("refuses unknown names and suggests the nearest", () => {
    const hints = {
      top_p: "topP",
      "top-k": "topK",
      maxTokens: "maxNewTokens",
      max_new_tokens: "maxNewTokens",
      temperatur: "temperature",
      stops: "stop",
    };
    for (const [name, hint] of Object.entries(hints)) {
      expect(() => resolve({ [name]: 1 })).toThrow(`sampling: unknown option ${name}; did you mean ${hint}?`);
    }
    expect(() => resolve({ typicalP: 1 })).toThrow("choose from maxNewTokens, temperature");
    // Names that every object inherits are unknown as well.
    expect(() => resolve({ toString: 1 })).toThrow("unknown option toString");
  });

  it("refuses stop strings that are no list of texts", () => {
    expect(resolve({ stop: ["\n", "END"] }).stop).toEqual(["\n", "END"]);
    for (const stop of ["END", [""], [1], null]) {
      expect(() => resolve({ stop })).toThrow(
        `stop: expected a list of non-empty strings, got ${JSON.stringify(stop)}`,
      );
    }
  });

  it("refuses biases that are no pairs in range", () => {
    expect(resolve({ logitBias: [[5, -100]] }).logitBias).toEqual([[5, -100]]);
    for (const logitBias of [{ 5: 1 }, [[5]], [[-1, 0]], [[5, 101]], [[0.5, 1]], [["5", 1]]]) {
      expect(() => resolve({ logitBias }), JSON.stringify(logitBias)).toThrow("logitBias: expected pairs");
    }
  });
});
