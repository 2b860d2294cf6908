/**
 * @file Conversations behind a router, by its policy: how much of their prompts the servers had, and the time to the first token. On the built
 * package (`npm run build` first), with the router of docs/fleet.md (`pip install smg`, or its path in SMG).
 *
 *   npx tsx bench/server/fleet.ts
 *   options: --policies cache_aware,random,round_robin --rounds 2 --servers 2 --talks 16 --turns 4 --clients 2 --words 400 --model qwen3-3m
 *
 * Each round runs every policy over servers of one thread that have just started. `--clients` conversations are under way at once; a turn adds a question of
 * 30 words to what was said. Prints a table in Markdown, with the times of turns that are not the first, and exits with 1 when a request failed.
 */
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import { draw, quantile } from "./prompts.ts";
import { ServerProcess } from "./server-process.ts";
import { type Streamed, stream } from "./stream.ts";

const { values } = readCommandLine({
  options: {
    policies: { type: "string", default: "cache_aware,random,round_robin" },
    rounds: { type: "string", default: "2" },
    servers: { type: "string", default: "2" },
    talks: { type: "string", default: "16" },
    turns: { type: "string", default: "4" },
    clients: { type: "string", default: "2" },
    words: { type: "string", default: "400" },
    model: { type: "string", default: "qwen3-3m" },
  },
});
const QUESTION_WORDS = 30;
const ANSWER_TOKENS = 16;

interface Turn extends Streamed {
  /** Whether it begins a conversation, so that nothing of it can be kept. */
  readonly isFirst: boolean;
}

const WORDS =
  "the a road town king ship river night day old small long went came saw took and but then over under home".split(" ");
const smg = process.env["SMG"] ?? "smg";
if (spawnSync(smg, ["--help"]).status !== 0)
  refuse(`${smg}: the router cannot be started; pip install smg, or name it in SMG`);

/** Words of a number; none begins like another. */
const words = (seed: number, count: number): string =>
  Array.from({ length: count }, (_, i) => WORDS[draw(seed, i, WORDS.length)]).join(" ");

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** All turns of all conversations over servers that have nothing yet. */
async function play(policy: string, round: number): Promise<Turn[]> {
  const serve = ["--model", values.model, "-t", "1", "--metrics-prefix", "vllm:", "--unknown-fields", "ignore"];
  const servers = await Promise.all(Array.from({ length: Number(values.servers) }, () => ServerProcess.start(serve)));
  const [port, metrics] = [await freePort(), await freePort()];
  const at = ["--host", "127.0.0.1", "--port", String(port), "--prometheus-port", String(metrics)];
  const router = spawn(smg, ["launch", ...at, "--policy", policy, "--worker-urls", ...servers.map(({ url }) => url)], {
    stdio: "ignore",
  });
  try {
    const url = `http://127.0.0.1:${port}`;
    const isReady = async (): Promise<boolean> => {
      const answer = await fetch(`${url}/v1/models`).catch(() => null);
      return answer?.ok === true && ((await answer.json()) as { data: unknown[] }).data.length > 0;
    };
    while (!(await isReady())) await new Promise((resolve) => setTimeout(resolve, 100));
    const all: Turn[] = [];
    let next = 0;
    const client = async (): Promise<void> => {
      while (next < Number(values.talks)) {
        const seed = 1000 * round + next++;
        let prompt = words(seed, Number(values.words));
        for (let turn = 0; turn < Number(values.turns); turn++) {
          prompt += `. ${words(100_000 + 10 * seed + turn, QUESTION_WORDS)}`;
          const answer = await stream(url, { model: values.model, prompt, max_tokens: ANSWER_TOKENS, temperature: 0 });
          all.push({ ...answer, isFirst: turn === 0 });
          prompt += answer.text;
        }
      }
    };
    await Promise.all(Array.from({ length: Number(values.clients) }, client));
    return all;
  } finally {
    router.kill("SIGKILL");
    await Promise.all(servers.map((server) => server.stop()));
  }
}

const policies = values.policies.split(",");
const answers = new Map<string, Turn[]>(policies.map((policy) => [policy, []]));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const policy of policies) answers.get(policy)!.push(...(await play(policy, round)));
}
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
console.log(
  "| policy | requests | prompt tokens | cached | first token of later turns, median, ms | p90, ms |\n| --- | ---: | ---: | ---: | ---: | ---: |",
);
for (const [policy, all] of answers) {
  const prompt = sum(all.map(({ promptTokens }) => promptTokens));
  const share = sum(all.map(({ cachedTokens }) => cachedTokens)) / prompt;
  const ms = all.filter(({ isFirst }) => !isFirst).map(({ ttftMs }) => ttftMs);
  const cells = [
    all.length,
    prompt,
    `${(100 * share).toFixed(1)} %`,
    ...[0.5, 0.9].map((q) => quantile(ms, q).toFixed(0)),
  ];
  console.log(`| ${[policy, ...cells].join(" | ")} |`);
}
