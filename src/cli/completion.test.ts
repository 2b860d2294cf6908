/** @file The scripts of `turboquant completion`: bash runs its own; the others are looked at. */
import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";

/** What bash would offer behind a line. */
function offered(script: string, line: string): string[] {
  const words = line.split(" ");
  const program = `${script}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")})
COMP_CWORD=${words.length - 1}
_turboquant
printf '%s\\n' "\${COMPREPLY[@]}"`;
  return spawnSync("bash", ["--norc", "-c", program], { encoding: "utf8" }).stdout.trim().split("\n").filter(Boolean);
}

it.skipIf(spawnSync("bash", ["--version"]).status !== 0)("bash completes commands, options and choices", async () => {
  const { code, out } = await runCommand(["completion", "bash"]);
  expect(code).toBe(0);
  expect(offered(out, "turboquant re")).toEqual(["report", "recommend"]);
  expect(offered(out, "turboquant run --max-n")).toEqual(["--max-new-tokens"]);
  expect(offered(out, "turboquant chat --backend w")).toEqual(["wasm", "webgpu"]);
  expect(offered(out, "turboquant bench att")).toEqual(["attention"]);
});

it("zsh and fish have every command and option", async () => {
  for (const shell of ["zsh", "fish"]) {
    const { code, out } = await runCommand(["completion", shell]);
    expect(code).toBe(0);
    for (const word of ["run", "recommend", "max-new-tokens", "kv-budget", "wasm webgpu"])
      expect(out, shell).toContain(word);
  }
  const { code, err } = await runCommand(["completion", "tcsh"]);
  expect([code, err]).toEqual([2, expect.stringContaining("Allowed choices are bash, zsh, fish")]);
});
