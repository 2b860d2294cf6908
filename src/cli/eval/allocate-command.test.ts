/** @file `turboquant allocate` as a user types it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../node/install.ts";
import { runCommand } from "../../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../../test/support/fake-checkpoint.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { DEFAULT_PROMPT } from "../default-prompt.ts";

const folder = mkdtempSync(join(tmpdir(), "turboquant-allocate-"));
const FOUR = [["full"], ["full"], ["full"], ["full"]] as const;
const textFile = join(folder, "story.txt");
/** Any model will do: what is gained on a real one is `src/eval/allocate.test.ts`. */
const model = join(folder, "model");
beforeAll(() => {
  writeRandomCheckpoint(model);
  writeFileSync(textFile, DEFAULT_PROMPT);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Quiet: a slow machine would report progress. */
const argv = (...more: string[]): string[] => [
  ...["allocate", "-m", model, "-t", "1", "--quiet", "--text", textFile, "--kv", "k4v4,sinks=0,window=0"],
  ...["-c", "128", "--chunks", "1", "--verify-chunks", "2", "--measure", "3", ...more],
];

describe("allocate", () => {
  it("prints the evidence and ends in a spec to paste", async () => {
    const { code, out, err } = await runCommand(argv("--bits", "3"));
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^divergence of one side of one layer alone, 1 × 128 tokens/);
    expect(out).toMatch(/\| layer \| K bits \| V bits \| K alone, 3 bits \|/);
    expect(out).toMatch(/^\| measured +\| \S+ +\| 3\.00 \|/m);
    expect(out).toMatch(/^\| uniform +\| k3v3,sinks=0,window=0 +\| 3\.00 \|/m);
    const spec = /\n--kv (\S+)\n$/.exec(out)![1]!;
    parseKvSpec(spec).forModel(FOUR);
    expect(out).toMatch(/nats less, paired by token|uniform widths were best/);
  });

  it("--json and --out are the same object, with the spec first", async () => {
    const file = join(folder, "spec.json");
    // 16 vectors of 26 bytes: 3 bits of 64 values and a scale.
    const { out } = await runCommand(argv("--bytes", "416", "--json", "--out", file));
    expect(readFileSync(file, "utf8")).toBe(out);
    const found = JSON.parse(out);
    expect(Object.keys(found)[0]).toBe("kv");
    expect(found).toMatchObject({ bits: 3, model: "model", recipe: "k4v4,sinks=0,window=0", ctx: 128 });
    expect(found.candidates[0].row.textSource).toBe("story.txt");
    expect(found.gain.mean).toBeGreaterThanOrEqual(0);
  });

  it("of layers without keys and values it says nothing, and they cost nothing", async () => {
    const hybrid = join(folder, "hybrid");
    writeRandomCheckpoint(hybrid, {
      model_type: "bamba",
      attn_layer_indices: [1, 3],
      ...{ mamba_n_heads: 4, mamba_d_head: 16, mamba_n_groups: 1, mamba_d_state: 8, mamba_expand: 2 },
    });
    const { code, out, err } = await runCommand(argv("-m", hybrid, "--bits", "3", "--json", "--verify-chunks", "1"));
    expect([code, err]).toEqual([0, ""]);
    const found = JSON.parse(out);
    expect(found.attentionLayers).toEqual([1, 3]);
    expect(found.sensitivities.map(({ layer }: { layer: number }) => layer)).toEqual([1, 1, 3, 3]);
    // Of two layers, K and V of two heads: 3 bits of 64 values and a scale.
    expect(found.candidates.at(-1).bytesPerToken).toBe(8 * 26);
    parseKvSpec(found.kv).forModel(FOUR);
  });

  it("mistakes are said before anything is measured", async () => {
    for (const [more, message] of [
      [["--bits", "3", "--bytes", "400"], /--bits and --bytes both set the budget/],
      [["--bits", "9"], /a budget of 2 to 8 bits a value.*got 9/],
      [["--kv", "paper-4"], /expected a kNvM preset/],
      [["--text", "no.txt"], /--text no.txt: cannot be read/],
      [["--verify-chunks", "0"], /Expected a whole number of at least 1/],
    ] as const) {
      const { code, err } = await runCommand(argv(...more));
      expect(code, more.join(" ")).toBe(2);
      expect(err).toMatch(message);
    }
  });

  it("what no text can mend is said before the model writes one", async () => {
    const own = argv().filter((word) => word !== "--text" && word !== textFile);
    for (const [more, message] of [
      [
        ["--kv", "k4v4"],
        /allocate: in 128 tokens none of what attention reads of k4v4 are codes.*; pass --ctx \d+ or more/,
      ],
      [["--widths", "9"], /widths: expected 1 to 8 bits/],
      [["-c", "5000"], /--ctx: expected at most the model's context of 4096/],
      [["--kv", "k4v4,window=0,calibration=/no/file"], /calibration: there is no file/],
    ] as const) {
      const { code, out, err } = await runCommand([...own.filter((word) => word !== "--quiet"), ...more]);
      expect([code, out], more.join(" ")).toEqual([2, ""]);
      expect(err).toMatch(message);
      expect(err).not.toContain("the model wrote");
    }
  });

  it("Ctrl-C exits with 130", async () => {
    const { code, out } = await runCommand(argv("--explain"), { onStderr: (_text, io) => io.interrupt() });
    expect([code, out]).toEqual([130, ""]);
  });
});
