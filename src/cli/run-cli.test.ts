/** @file What a user mistypes, command by command. What commands do is tested beside them (commands/). */
import { describe, expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { randomModel } from "../../test/support/random-model.ts";

const MODEL = ["-m", "qwen3-1m", "-t", "1"];
const QUESTION = "What is the capital of France?";

const { args: ANY_MODEL } = randomModel();
const { args: SHORT_MODEL } = randomModel({ max_position_embeddings: 8 });

describe("a user's mistake is one message and exit code 2", () => {
  const cases: [what: string, argv: string[], message: RegExp][] = [
    ["unknown command", ["evla"], /unknown command 'evla'\n\(Did you mean eval\?\)/],
    ["unknown option", ["run", "--tempratur", "1"], /unknown option '--tempratur'\n\(Did you mean --temperature\?\)/],
    ["option without a value", ["run", "--kv"], /'--kv <spec>' argument missing/],
    ["not a number", ["run", "-n", "abc", "hi"], /Expected a whole number/],
    ["backend", ["run", "--backend", "cuda", "hi"], /Allowed choices are auto, wasm, webgpu, reference/],
    ["preset", ["run", "--kv", "k4v9", "hi"], /"k4v9" is not a preset.*did you mean/],
    ["modifier", ["run", "--kv", "k4v4,widow=0", "hi"], /unknown modifier "widow".*did you mean window\?/],
    [
      "layers beyond the model",
      ["run", ...ANY_MODEL, "--kv", "k4v4,layers=0-9:k8v8", "hi"],
      /the model has layers 0 to 3/,
    ],
    ["model", ["run", "-m", "no/such/model/here", "hi"], /model: expected a directory/],
    ["range", ["run", ...ANY_MODEL, "--top-p", "3", "hi"], /topP: expected a number from 0 to 1/],
    ["context", ["run", ...ANY_MODEL, "--ctx", "5", QUESTION], /prompt: \d+ tokens do not fit the context of 5.*--ctx/],
    [
      "budget",
      ["run", ...ANY_MODEL, "--kv-budget", "1kB", "hi"],
      /KV cache: \d+ more bytes do not fit the budget of 1000 bytes.*--kv-budget/,
    ],
    [
      "beyond the model",
      ["run", ...SHORT_MODEL, QUESTION],
      /prompt: \d+ tokens do not fit the context of 8; shorten the prompt or stretch .*--rope-scaling yarn with a larger --ctx/,
    ],
    ["two prompts", ["run", "-f", "x.txt", "hi"], /a prompt and --file/],
    ["two prompts, one by name", ["run", "-p", "hi", "you"], /a prompt and --prompt/],
    ["an empty prompt", ["run", ""], /the prompt is empty/],
    ["a blank prompt", ["run", "-p", "   "], /the prompt is empty/],
    [
      "no file",
      ["run", "-f", "no-such-file.txt"],
      /--file no-such-file.txt: cannot be read: there is no such file .*\(ENOENT\)/,
    ],
    [
      "another program's option",
      ["run", "--context", "9", "hi"],
      /unknown option '--context'\n\(Did you mean --ctx\?\)/,
    ],
    [
      "a misspelt alias",
      ["run", "--max-tokns", "5"],
      /unknown option '--max-tokns'\n\(Did you mean --max-new-tokens\?\)/,
    ],
    ["a misspelt name of others", ["serve", "--served-model-nam", "x"], /\(Did you mean --alias\?\)/],
    ["a prompt of what takes none", ["serve", "-p", "80"], /unknown option '-p'\n\(Did you mean --port\?\)/],
    ["a misspelt option of others", ["run", "--gpu-layer", "9"], /\(the GPU computes all layers or none/],
    [
      "an option that nothing needs",
      ["run", "-ngl", "99"],
      /unknown option '--n-gpu-layers'\n\(the GPU computes all layers or none/,
    ],
    [
      "a misspelt command of bench",
      ["bench", "atention"],
      /too many arguments for 'bench'.*\n\(Did you mean attention\?\)/,
    ],
    ["none of its commands", ["bench", "everything"], /\(There are attention, prefill, /],
    ["help on what is no command", ["help", "evla"], /unknown command 'evla'\n\(Did you mean eval\?\)/],
    ["a number of tokens", ["run", "-n", "-2", "hi"], /at least 1, or -1 for as many as the context holds/],
    ["nothing to time", ["bench", "-p", "0", "-n", "0"], /-p 0 and -n 0 leave nothing to time/],
    [
      "rows into a folder that there is not",
      ["bench", "--out", "/no/x"],
      /--out \/no\/x: cannot be written: there is no such/,
    ],
    ["rows into a folder", ["bench", "--out", "src"], /--out src: cannot be written: it is a folder \(EISDIR\)/],
    ["an evaluation into a folder that there is not", ["eval", "--out", "/no/x"], /--out \/no\/x: cannot be written/],
    ["an allocation into a folder", ["allocate", "--out", "src"], /--out src: cannot be written: it is a folder/],
    [
      "chunks beyond the model",
      ["eval", "-m", "qwen3-1m", "-t", "1", "-c", "100000"],
      /--ctx: expected at most the model's context of 4096 tokens, got 100000/,
    ],
    [
      "a calibration beyond the model",
      ["calibrate", ...ANY_MODEL, "-c", "100000"],
      /--ctx: expected at most \d+ \(the model's max_position_embeddings\), got 100000/,
    ],
    [
      "depths without lengths",
      ["eval", "--needle-depths", "0,50"],
      /--needle-depths: does nothing without --needle-lengths/,
    ],
    ["tokens of no text", ["eval", "--greedy-tokens", "9"], /--greedy-tokens: does nothing without --greedy/],
    ["lengths of no task", ["eval", "--tasks-lengths", "900"], /--tasks-lengths: does nothing without --tasks/],
    [
      "needles beyond the model",
      ["eval", "-m", "qwen3-1m", "-t", "1", "--needle-lengths", "9999"],
      /--needle-lengths: expected at most .* 4096 tokens, got 9999/,
    ],
    [
      "bits beyond the widths",
      ["allocate", "-m", "qwen3-1m", "-t", "1", "--bits", "99"],
      /expected a budget of 2 to 8 bits a value.*got 99/,
    ],
    ["a page into a folder", ["report", "x.jsonl", "--out", "."], /--out \.: cannot be written: it is a folder/],
    ["pictures below a file", ["report", "x.jsonl", "--images", "LICENSE/x"], /--images LICENSE\/x: cannot be written/],
    ["a calibration nowhere", ["calibrate", "--out", "/no/x"], /--out \/no\/x: cannot be written/],
    [
      "a context beyond the model",
      ["run", "-c", "200000", "hi"],
      /expected 1 to 4096 .*got 200000; .*--rope-scaling yarn/,
    ],
    ["no scale", ["run", "--rope-scaling", "yarn", "hi"], /expected a scale, or a contextLength beyond/],
    [
      "memory without a unit",
      ["run", "--kv-budget", "4", "hi"],
      /a size with its unit; 4 would be bytes, was 4GB meant\?/,
    ],
    [
      "system without template",
      ["run", ...ANY_MODEL, "--raw", "--system", "Be brief.", "hi"],
      /--system needs the chat template/,
    ],
    [
      "eval with a wrong path",
      ["eval", "--text", "no.txt"],
      /--text no.txt: cannot be read: there is no such file or folder \(ENOENT\); expected a file of plain text \(UTF-8\), so check the path, or leave --text out/,
    ],
    [
      "eval with a folder",
      ["eval", "--text", "src"],
      /--text src: cannot be read: it is a folder \(EISDIR\); expected/,
    ],
    ["a ladder of two", ["eval", "--ladder", "--kv", "k4v4,k3v3"], /--ladder: expected one --kv, got 2/],
    [
      "needle grid",
      ["eval", ...MODEL, "--text", "biome.json", "-c", "64", "--needle-lengths", "64"],
      /length 64: expected 128/,
    ],
    [
      "greedy",
      ["eval", ...MODEL, "--text", "LICENSE", "--greedy", "1", "--greedy-tokens", "5000"],
      /greedy tokens: expected 1 to/,
    ],
    [
      "eval with a short text",
      ["eval", ...MODEL, "--text", "biome.json", "-c", "2048"],
      /fewer than one chunk of 2048/,
    ],
    ["shape", ["bench", "--shape", "qwen9"], /shape: expected one of/],
    ["list", ["bench", "-d", "0,x"], /Expected a whole number/],
    ["snapshot", ["inspect", "missing.tqkv"], /model: expected a directory/],
  ];
  it.each(cases)("%s", async (_what, argv, message) => {
    const { code, out, err } = await runCommand(argv);
    expect(err).toMatch(message);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).not.toMatch(/^\s+at /m);
    expect(err.trim().split("\n").length, "one message").toBeLessThanOrEqual(3);
  });
});
