/** `--spec` of `run`: the answer is the one without it, and the figures say what was right. */
import { describe, expect, it } from "vitest";
import "../node/install.ts";
import { captureIo, runCommand } from "../../test/support/cli-io.ts";
import { randomModel } from "../../test/support/random-model.ts";
import type { CommandContext } from "./context.ts";
import { openSpeculation } from "./speculation-flags.ts";

const TEXT = "The cat sat on the mat. The dog sat on the log. The cat sat on the mat. The dog";
const RUN = ["run", "-m", "qwen3-1m", "-t", "1", "--raw", TEXT, "-n", "60"];

/** Of as many tokens as the others, which are other ones. */
const { args: ANY_MODEL } = randomModel({ vocab_size: 4096 });

describe("--spec", () => {
  it("changes no token", async () => {
    const [plain, own] = [
      await runCommand([...RUN, "--json"]),
      await runCommand([...RUN, "--json", "--spec", "prompt-lookup"]),
    ];
    const [without, report] = [plain, own].map(({ out }) => JSON.parse(out));
    expect(report.tokens).toEqual(without.tokens);
    expect(report.kvBytes).toBe(without.kvBytes);
    expect(without.usage.draftedTokens).toBeUndefined();
    expect(report.usage.acceptedTokens).toBeGreaterThan(0);
    expect(report.usage.draftedTokens).toBeGreaterThanOrEqual(report.usage.acceptedTokens);
  });

  it("has a line of the figures", async () => {
    const { err } = await runCommand([...RUN, "--spec", "prompt-lookup", "--draft", "4"]);
    expect(err).toMatch(/^drafts that were right +\d+\.\d % +\d+ of \d+ tokens$/m);
  });

  it("a draft model changes no token either, and another vocabulary is refused", async () => {
    const argv = ["run", "-m", "qwen3-3m", "-t", "1", "--raw", TEXT, "-n", "40", "--json", "--temp", "0"];
    const [plain, own] = [await runCommand(argv), await runCommand([...argv, "-md", "qwen3-1m", "--draft-max", "3"])];
    const [without, report] = [plain, own].map(({ out }) => JSON.parse(out));
    expect(report.tokens).toEqual(without.tokens);
    expect(report.usage.acceptedTokens).toBeGreaterThan(0);
    const refused = await runCommand([...argv, "-md", ANY_MODEL[1]!]);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain("has another vocabulary: token 3 is ");
    const two = await runCommand([...argv, "-md", "qwen3-1m", "--spec", "prompt-lookup"]);
    expect(two.code).toBe(2);
    expect(two.err).toContain("two methods");
  });

  it("a draft model's memory is part of what there is for both", async () => {
    const flags = {
      spec: "off",
      draftModel: "qwen3-1m",
      backend: "wasm",
      weights: "auto",
      threads: 1,
      quiet: true,
    } as const;
    const context = { io: captureIo(), signal: new AbortController().signal } as unknown as CommandContext;
    const sizes = { kvBudget: 9e6, memory: 300e6 };
    await using drafts = await openSpeculation({}, { ...flags, ...sizes }, context);
    const { cache } = drafts.options.speculate!.model!;
    expect(cache.pool.budgetBytes).toBe(3e6);
    expect(drafts.limits.kvBudget).toBe(6e6);
    // Weights, work and the budget.
    const taken = sizes.memory - drafts.limits.memory!;
    expect(taken).toBeGreaterThan(4e6);
    expect(taken).toBeLessThan(100e6);
    await expect(openSpeculation({}, { ...flags, memory: 3e6 }, context)).rejects.toThrow(
      "--draft-model: of --memory it gets a third: ",
    );
    const none = await openSpeculation(null, { ...flags, ...sizes }, context);
    expect(none).toMatchObject({ options: {}, limits: {} });
  });

  it("a draft model of several served models is refused", async () => {
    const { code, err } = await runCommand(["serve", "-m", "qwen3-1m", "-m", "qwen3-3m", "-md", "qwen3-1m"]);
    expect(code).toBe(2);
    expect(err).toContain("--draft-model: it is for one model");
  });

  it("options of drafts without drafts are refused, and so are values out of range", async () => {
    for (const command of [["run", "hello"], ["chat", "hello"], ["serve"]]) {
      const { code, err } = await runCommand([...command, "--draft-max", "3"]);
      expect(code).toBe(2);
      expect(err).toContain("add --spec prompt-lookup");
    }
    const { code, err } = await runCommand([
      ...RUN,
      "--spec",
      "prompt-lookup",
      "--prompt-lookup-min",
      "6",
      "--prompt-lookup-max",
      "5",
    ]);
    expect(code).toBe(2);
    expect(err).toContain("promptLookupMax: expected a whole number from 6 to 64, got 5");
  });
});
