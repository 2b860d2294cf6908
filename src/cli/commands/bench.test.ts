/** @file `turboquant bench` as a user types it, in this process, on a checkpoint of random weights. */
import { describe, expect, it } from "vitest";
import "../../node/install.ts";
import { runCommand } from "../../../test/support/cli-io.ts";
import { randomModel } from "../../../test/support/random-model.ts";

const { args: ANY_MODEL } = randomModel();

describe("bench", () => {
  it("prints llama-bench's rows as JSON lines, and a table", async () => {
    const argv = ["bench", ...ANY_MODEL, "-p", "16", "-n", "2", "-d", "0,32", "--kv", "f16,k4v4", "-r", "2"];
    const { code, out } = await runCommand([...argv, "-o", "jsonl"]);
    expect(code).toBe(0);
    const rows = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.map((row) => `${row.test} ${row.kv}`)).toEqual([
      "pp16 f16",
      "pp16 k4v4",
      "tg2 f16",
      "tg2 k4v4",
      "pp16 @ d32 f16",
      "pp16 @ d32 k4v4",
      "tg2 @ d32 f16",
      "tg2 @ d32 k4v4",
    ]);
    expect(rows[1]).toMatchObject({
      n_prompt: 16,
      n_gen: 0,
      n_depth: 0,
      type_k: "tq4",
      type_v: "tq4",
      n_threads: 1,
      model_type: "model",
    });
    expect(rows[1].samples_ns).toHaveLength(2);
    // avg_ts is the mean of the samples' rates, as in llama-bench.
    expect(rows[1].avg_ts).toBeCloseTo((rows[1].samples_ts[0] + rows[1].samples_ts[1]) / 2, 6);
    expect(rows[1].samples_ts[0]).toBeCloseTo((16 * 1e9) / rows[1].samples_ns[0], 0);
    const table = await runCommand([...argv, "-p", "0", "-d", "0"]);
    expect(table.out).toMatch(/^\| model .*\| test +\|.*t\/s/);
    expect(table.out).toMatch(/\| tg2 +\| .* ± /);
  });

  it("attention has options of its own, --json prints one object", async () => {
    const { out } = await runCommand([
      "bench",
      "attention",
      "--shape",
      "qwen2.5-0.5b",
      "-d",
      "64",
      "-t",
      "1,2",
      "-r",
      "2",
      "--kv",
      "f16,k3v3",
      "--json",
    ]);
    const { rows } = JSON.parse(out);
    expect(rows.map((row: Record<string, unknown>) => [row["n_threads"], row["kv"]])).toEqual([
      [1, "f16"],
      [1, "k3v3"],
      [2, "f16"],
      [2, "k3v3"],
    ]);
    expect(rows[1].ratio_to_f16).toBeGreaterThan(0);
  });

  it("speculation has a row for each way to draft, from the best to the worst", async () => {
    const argv = ["bench", "speculation", ...ANY_MODEL, "-n", "8", "-r", "1", "--draft-max", "3", "-np", "2", "--json"];
    const { code, out } = await runCommand([...argv, "--draft-model", ANY_MODEL[1]!]);
    expect(code).toBe(0);
    const { rows } = JSON.parse(out);
    const methods = ["off", "prompt lookup", "model model", "all right", "none right"];
    expect(rows.map((row: Record<string, unknown>) => row["drafts"])).toEqual([...methods, ...methods, ...methods]);
    const [off, , same, best, worst] = rows;
    expect(off).toMatchObject({ draft_n: 0, ratio_to_off: 1, tokens_per_step: 1, n_parallel: 2 });
    expect(best.draft_n_accepted).toBe(best.draft_n);
    expect(worst).toMatchObject({ draft_n_accepted: 0, tokens_per_step: 1 });
    expect(worst.draft_n).toBeGreaterThan(0);
    expect(same.draft_n_accepted).toBeGreaterThan(0);
  });
});
