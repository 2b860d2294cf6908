/** @file lm-evaluation-harness against `/v1/completions`, by the command of docs/server.md, with tasks of our own: its figures are those that the server gives. */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { skipReason } from "./support/optional.ts";
import { startServer } from "./support/server.ts";
import { repoRoot } from "./support/shared.ts";

const command = process.env["LM_EVAL"] ?? "lm_eval";
const skip = skipReason(
  "lm_eval",
  spawnSync(command, ["--help"]).status === 0,
  'pip install "lm-eval[api]", or name the command in LM_EVAL',
);

const QUESTIONS = [
  { question: "The capital of France is", choices: ["Paris", "a red house"], answer: 0 },
  { question: "Ice is", choices: ["hot", "cold and hard"], answer: 1 },
];
const COMMON = {
  dataset_path: "json",
  test_split: "test",
  doc_to_text: "{{question}}",
};
const TASKS = {
  choice: {
    ...COMMON,
    task: "choice",
    output_type: "multiple_choice",
    doc_to_choice: "{{choices}}",
    doc_to_target: "answer",
    metric_list: [{ metric: "acc" }],
  },
  words: {
    ...COMMON,
    task: "words",
    output_type: "generate_until",
    doc_to_target: "{{choices[answer]}}",
    generation_kwargs: { until: ["\n\n"], max_gen_toks: 8 },
    metric_list: [{ metric: "exact_match" }],
  },
};

function run(args: readonly string[], env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...env } });
    let out = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (out += data));
    child.on("error", reject);
    child.on("close", (status) => (status === 0 ? resolve(out) : reject(new Error(out))));
  });
}

// biome-ignore lint/suspicious/noExplicitAny: the samples of another program
type Sample = any;

// Python and its libraries take a minute to start on a busy machine.
it.skipIf(skip)(
  "log-likelihoods and texts are the server's",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "lm-eval-"));
    const server = await startServer({ fake: {} });
    try {
      const tasks = join(folder, "tasks");
      mkdirSync(tasks);
      const data = join(folder, "questions.jsonl");
      writeFileSync(data, QUESTIONS.map((one) => `${JSON.stringify(one)}\n`).join(""));
      // JSON is YAML as well.
      for (const [name, task] of Object.entries(TASKS)) {
        writeFileSync(
          join(tasks, `${name}.yaml`),
          JSON.stringify({ ...task, dataset_kwargs: { data_files: { test: data } } }),
        );
      }
      const docs = readFileSync(join(repoRoot, "docs/server.md"), "utf8");
      const [, line] = /^lm_eval (run .*) --tasks \S+$/m.exec(docs)!;
      const args = line!
        .replace("http://127.0.0.1:8080", server.url)
        .replace("model=qwen3-3m", "model=fake")
        .split(" ");
      const output = join(folder, "out");
      await run(
        [...args, ...["--tasks", "choice,words", "--include_path", tasks, "--output_path", output, "--log_samples"]],
        {
          HF_HOME: join(folder, "hf"),
          HF_HUB_OFFLINE: "1",
          HF_DATASETS_OFFLINE: "1",
        },
      );
      const samples = (name: string): Sample[] => {
        const files = readdirSync(output, { recursive: true, encoding: "utf8" });
        const file = files.find((one) => one.includes(`samples_${name}`))!;
        return readFileSync(join(output, file), "utf8")
          .trim()
          .split("\n")
          .map((one) => JSON.parse(one));
      };
      expect([samples("choice").length, samples("words").length]).toEqual([QUESTIONS.length, QUESTIONS.length]);
      for (const { doc, resps } of samples("choice")) {
        for (const [i, choice] of doc.choices.entries()) {
          const before = server.llm.tokenizer.encode(doc.question).length;
          const prompt = `${doc.question} ${choice}`;
          const { json } = await server.post("/v1/completions", { prompt, echo: true, logprobs: 1, max_tokens: 0 });
          const { token_logprobs: logprobs } = json.choices[0].logprobs;
          const expected = logprobs.slice(before).reduce((sum: number, one: number) => sum + one, 0);
          expect(Number(resps[i][0][0])).toBeCloseTo(expected, 4);
        }
      }
      for (const { doc, resps } of samples("words")) {
        const body = { prompt: doc.question, temperature: 0, max_tokens: 8 };
        expect(resps[0][0]).toBe((await server.post("/v1/completions", body)).json.choices[0].text);
      }
    } finally {
      await server.stop();
      rmSync(folder, { recursive: true });
    }
  },
  600_000,
);
