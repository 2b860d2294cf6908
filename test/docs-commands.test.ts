/** @file What documents show as the output of a command is what the command prints. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { commandsOf, fillCommands } from "../tools/docs/commands.ts";
import { repoRoot } from "./support/shared.ts";

/** Seconds each: thousands of vectors. `npx tsx tools/doc-commands.ts docs/findings.md` runs them as well. */
const SLOW = ["cosines", "iterations", "qjl", "projections"].map((section) => `npx tsx tools/findings.ts ${section}`);

describe("commands in documents", () => {
  it.each(["docs/planning.md", "docs/findings.md", "docs/models.md", "docs/tutorial.md"])(
    "%s shows what they print",
    async (path) => {
      const text = readFileSync(join(repoRoot, path), "utf8");
      expect(commandsOf(text).length).toBeGreaterThan(0);
      expect(await fillCommands(text, (command) => !SLOW.includes(command))).toBe(text);
    },
  );

  it("every figure of the findings was measured", () => {
    expect(readFileSync(join(repoRoot, "docs/findings.md"), "utf8")).not.toMatch(/\| +– +\|/);
  });

  it("a changed figure is found, a block that was not run stays", async () => {
    const [fast, slow] = ["npx tsx tools/findings.ts ratios", SLOW[0]];
    const doc = `a\n<!-- $ ${fast} -->\n| 1 |\n<!-- /$ -->\nb\n<!-- $ ${slow} -->\nkept\n<!-- /$ -->\n`;
    const filled = await fillCommands(doc, (command) => command === fast);
    expect(filled).toMatch(
      /^a\n<!-- \$ npx tsx tools\/findings\.ts ratios -->\n\n\| kv +\|[\s\S]*\| paper-4 +\| +132 \| +3\.88× \|/,
    );
    expect(filled).toContain(`<!-- $ ${slow} -->\nkept\n<!-- /$ -->`);
    expect(await fillCommands(filled, (command) => command === fast)).toBe(filled);
    await expect(fillCommands("<!-- $ ls -->\n<!-- /$ -->")).rejects.toThrow(/ls: expected/);
  });
});
