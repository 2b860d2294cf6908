/** @file Logits of files of several types against llama.cpp's, where it is installed; the whole comparison is a command. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repoRoot } from "./support/shared.ts";

const isInstalled = existsSync(join(repoRoot, "bench/peers/node_modules/node-llama-cpp"));
const reason = isInstalled ? "" : " (not installed; npx tsx bench/peers/logits.ts installs it and compares all types)";

describe.skipIf(!isInstalled)(`llama.cpp${reason}`, () => {
  it("has our logits, greedy text and tokens, as near as its own rounding allows", () => {
    const args = ["bench/peers/logits.ts", "--models", "f32,q4_k_m,llama-rope_freqs-f16", "--tokens", "80", "--json"];
    const { stdout, status } = spawnSync("npx", ["tsx", ...args], { cwd: repoRoot, encoding: "utf8" });
    const { rows } = JSON.parse(stdout) as { rows: { model: string; faults: string[] }[] };
    expect(rows.map(({ model, faults }) => ({ model, faults }))).toEqual([
      { model: "f32", faults: [] },
      { model: "q4_k_m", faults: [] },
      { model: "llama-rope_freqs-f16", faults: [] },
    ]);
    expect(status).toBe(0);
  });
});
