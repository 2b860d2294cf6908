/** `--spec` of `run`: the answer is the one without it, and the figures say what was right. */
import { describe, expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";

const TEXT = "The cat sat on the mat. The dog sat on the log. The cat sat on the mat. The dog";
const RUN = ["run", "-m", "qwen3-1m", "-t", "1", "--raw", TEXT, "-n", "60"];

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

  it("options of drafts without drafts are refused, and so are values out of range", async () => {
    for (const command of [["run", "hello"], ["chat", "hello"], ["serve"]]) {
      const { code, err } = await runCommand([...command, "--draft-max", "3"]);
      expect(code).toBe(2);
      expect(err).toContain("add --spec prompt-lookup");
    }
    const { code, err } = await runCommand([...RUN, "--spec", "prompt-lookup", "--prompt-lookup-min", "6"]);
    expect(code).toBe(2);
    expect(err).toContain("promptLookupMax: expected a whole number from 6 to 64, got 4");
  });
});
