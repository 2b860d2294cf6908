import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseKvSpec } from "../../../src/index.ts";
import { inPageWords } from "./page-words.ts";

const ROOT = join(import.meta.dirname, "../../..");

describe("messages in the words of the page", () => {
  it.each<[string, string]>([
    [
      `snapshot: it belongs to another model: expected fingerprint ${"ab".repeat(32)}, got ${"cd".repeat(32)}; load the model it was saved with`,
      "snapshot: it is the cache of another model, or of this one with another calibration; choose the model that it was saved with",
    ],
    [
      "snapshot: it has another KV format: expected k4v4, got k2v2; load the model with --kv k2v2",
      "snapshot: it has another KV format: expected k4v4, got k2v2; choose the format k2v2 under KV cache, then restore it again",
    ],
    [
      "prompt: 5000 tokens do not fit the context of 4096; shorten the prompt or load with a larger contextLength (--ctx)",
      "prompt: 5000 tokens do not fit the context of 4096; shorten the prompt or choose a format with fewer bits under KV cache",
    ],
    [
      "weights: 4.85 GB do not fit; --weights q8 takes 2.73 GB",
      "weights: 4.85 GB do not fit; weights in q8 (under Model) takes 2.73 GB",
    ],
    [
      "the webgpu backend has no kernel for it; use --backend wasm",
      "the webgpu backend has no kernel for it; use CPU as what computes (under Model)",
    ],
    [
      "--kv tiers=: choose k4v4, or --backend wasm",
      "format tiers=: choose k4v4, or CPU as what computes (under Model)",
    ],
  ])("%s", (message, shown) => {
    expect(inPageWords(message)).toBe(shown);
  });

  it("the message of a format that is none names no option", () => {
    let message = "";
    try {
      parseKvSpec("k9v4");
    } catch (error) {
      message = (error as Error).message;
    }
    expect(inPageWords(message)).toMatch(/k9v4/);
    expect(inPageWords(message)).not.toMatch(/--/);
  });

  it.each(["engine/check-fit.ts", "engine/runner.ts", "cache/snapshot.ts", "backends/kv-support.ts"])(
    "no option of the command line is left of the messages of src/%s, but budgets, which the page has not",
    (file) => {
      const source = readFileSync(join(ROOT, "src", file), "utf8").replace(/^\s*(\/\/|\*|\/\*).*$/gm, "");
      const texts = [...source.matchAll(/[`"]([^`"\n]*--[a-z][^`"\n]*)[`"]/g)].map(([, text]) =>
        text!.replace(/\$\{[^}]*\}/g, "k4v4"),
      );
      expect(texts.length).toBeGreaterThan(0);
      for (const text of texts) expect(inPageWords(text).replace(/--kv-budget \S+/, "")).not.toMatch(/--[a-z]/);
    },
  );
});
