/** @file What every record of a peer says about where it was made: the commit, and how idle the machine was. */
import { spawnSync } from "node:child_process";
import os from "node:os";
import { HERE } from "./install.ts";

/** The commit that was measured, and whether files differ from it. */
export function commit(): { commit: string; dirty: boolean } {
  const git = (...args: string[]): string =>
    spawnSync("git", args, { cwd: HERE, encoding: "utf8" }).stdout?.trim() ?? "";
  return {
    commit: git("rev-parse", "--short", "HEAD"),
    dirty: git("status", "--porcelain", "--untracked-files=no") !== "",
  };
}

/** Share of the CPUs that was idle over half a second: neighbours spoil the figures, llama.cpp's threads spin. */
export async function idleShare(): Promise<number> {
  const total = (): { idle: number; all: number } => {
    const times = os.cpus().map((cpu) => cpu.times);
    const idle = times.reduce((sum, t) => sum + t.idle, 0);
    return { idle, all: idle + times.reduce((sum, t) => sum + t.user + t.nice + t.sys + t.irq, 0) };
  };
  const before = total();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const after = total();
  return (after.idle - before.idle) / Math.max(1, after.all - before.all);
}
