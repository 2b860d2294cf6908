/**
 * @file Clients of all kinds at once, on two servers of two models over one store that dies twice, on the built package (`npm run build` first; redis-server has to be installed).
 *
 *   npx tsx bench/server/soak.ts [--clients 64] [--minutes 5] [--seed 1] [--json]
 *   options: --requests 56 --budget 3MB --model REF --second REF -t N --out FILE
 *
 * The requests are completions, chats with `n` and log-probabilities, schemas, calls that have to be made, tools that may be called, regular expressions and responses, streamed or
 * whole, greedy or sampled, to either model; half of them begin alike. Each is asked for alone first, with nothing kept, and every answer of the crowd must equal that, from either
 * server. What one of them has read the other fetches from the prefix store, a Redis of the program's own; the budget is so small that prefixes are given up and fetched again. After a third and after two thirds of the time
 * the store stops answering, is killed a second later with the reads under way, and comes back empty 10 seconds after that (a tenth of the time, if that is less).
 * One request in eight is hung up on after some events of its stream. An answer that has not ended after four minutes has failed.
 *
 * Prints what was answered, what differed or failed, what the store did and how long /health took; --json one line of JSON. Exits with 1 when an answer differed,
 * a request failed, the store was never used or never failed, or anything was still at work behind the last answer.
 */
import { appendFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import OpenAI from "openai";
import { buildCommit } from "../../src/cli/build-info.ts";
import { NO_REDIS, startRedis } from "../../test/support/redis.ts";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import { reasonsOf } from "./connection-error.ts";
import { askMixed, KINDS, mixedRequest } from "./mixed-requests.ts";
import { draw, median, quantile } from "./prompts.ts";
import { ServerProcess } from "./server-process.ts";

const { values } = readCommandLine({
  options: {
    clients: { type: "string", default: "64" },
    minutes: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
    requests: { type: "string", default: "56" },
    budget: { type: "string", default: "3MB" },
    model: { type: "string", default: "qwen3-3m" },
    second: { type: "string", default: "qwen3-1m" },
    threads: { type: "string", short: "t" },
    json: { type: "boolean", default: false },
    out: { type: "string" },
  },
});
const [clients, minutes, seed, count] = [values.clients, values.minutes, values.seed, values.requests].map(Number) as [
  number,
  number,
  number,
  number,
];
if (!(clients > 0 && minutes > 0 && count > 0))
  refuse("expected numbers above 0 for --clients, --minutes and --requests");
if (!Number.isSafeInteger(seed)) refuse("expected a whole number for --seed");
if (NO_REDIS) refuse(NO_REDIS);

const SERVERS = 2;
const MODELS = ["first", "second"];
const HEALTH_EVERY_MS = 50;
const IDLE_MS = 3000;
const HANG_UP_EVERY = 8;
/** Longest time that the server may take to notice that the last client has gone. */
const SETTLE_MS = 30_000;
/** Longest time that a request may take: the program ends even if an answer does not. */
const DEADLINE_MS = 240_000;
/** How long the store takes requests without answering, before it is killed. */
const HANG_MS = Math.min(1000, minutes * 1000);
const DOWN_MS = Math.min(10_000, minutes * 6000);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const progress = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`);
};

let servers: readonly ServerProcess[] = [];
let apis: readonly OpenAI[] = [];

async function startServers(storeUrl: string): Promise<void> {
  const args = [
    ...MODELS.flatMap((name, i) => ["-m", `${name}=${[values.model, values.second][i]}`]),
    ...["--kv-budget", values.budget, "--parallel", `${clients}`],
    ...["--page-store", storeUrl, "--page-store-fetch", "always"],
    ...["-t", values.threads ?? `${Math.max(1, Math.floor(availableParallelism() / SERVERS))}`],
  ];
  // One that does not start leaves the others running; they are stopped like all of them.
  const starts = await Promise.allSettled(Array.from({ length: SERVERS }, () => ServerProcess.start(args)));
  servers = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
  const failed = starts.find((start) => start.status === "rejected");
  if (failed) throw failed.reason;
  apis = servers.map(({ url }) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 }));
}

/** A value of the metrics of all servers together. */
const metric = async (name: string, labels?: Readonly<Record<string, string>>): Promise<number> =>
  (await Promise.all(servers.map((server) => server.metric(name, labels)))).reduce((sum, value) => sum + value, 0);

/** Asks for /health until `isOver`. returns: the time of each answer, ms */
async function watchHealth(isOver: () => boolean): Promise<number[]> {
  const times: number[] = [];
  while (!isOver()) {
    const started = performance.now();
    const response = await fetch(`${servers[0]!.url}/health`);
    await response.arrayBuffer();
    if (response.status !== 200) throw new Error(`/health: status ${response.status}`);
    times.push(performance.now() - started);
    await pause(HEALTH_EVERY_MS);
  }
  return times;
}

const requests = Array.from({ length: count }, (_, i) => mixedRequest(seed * 10_000 + i, MODELS));
const expected: string[] = [];
const differences: { number: number; kind: string; model: string; alone: string; crowd: string }[] = [];
const failures: string[] = [];
const answers = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
let [serverErrors, hangUps, sent] = [0, 0, 0];
const numAnswers = (): number => Object.values(answers).reduce((sum, number) => sum + number, 0);

/** @throws Error — no answer within the deadline. taken: events so far */
async function inTime<T>(answer: Promise<T>, taken: () => number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const fail = (): void => reject(new Error(`no end after ${DEADLINE_MS / 1000} s and ${taken()} events`));
    timer = setTimeout(fail, DEADLINE_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One request of the crowd. */
async function one(): Promise<void> {
  const turn = sent++;
  const which = draw(31 + seed, turn, count);
  const request = requests[which]!;
  const leaving = new AbortController();
  let events =
    request.isStreamed && draw(33 + seed, turn, HANG_UP_EVERY) === 0
      ? 1 + draw(32 + seed, turn, 6)
      : Number.POSITIVE_INFINITY;
  let taken = 0;
  const onEvent = (): void => {
    taken++;
    if (--events === 0) leaving.abort();
  };
  // Settles when the client hangs up, whether or not its stream ends then.
  const hungUp = new Promise<null>((resolve) => {
    leaving.signal.addEventListener("abort", () => resolve(null), { once: true });
  });
  try {
    const asked = askMixed(apis[turn % SERVERS]!, request, { cache: true, signal: leaving.signal, onEvent });
    const answer = await inTime(Promise.race([asked, hungUp]), () => taken);
    if (answer === null) {
      hangUps++;
      return;
    }
    answers[request.kind]!++;
    if (answer === expected[which]) return;
    const { number, kind, model } = request;
    differences.push({ number, kind, model, alone: expected[which]!, crowd: answer });
  } catch (error) {
    if (error instanceof OpenAI.APIError && (error.status ?? 0) >= 500) serverErrors++;
    failures.push(`${request.kind} ${request.number}: ${reasonsOf(error)}`);
    // What the server still does for it ends.
    leaving.abort();
  }
}

const redis = await startRedis();
try {
  await startServers(redis.url);
  for (const [i, request] of requests.entries()) {
    let taken = 0;
    const asked = askMixed(apis[0]!, request, { cache: false, onEvent: () => taken++ });
    expected.push(await inTime(asked, () => taken));
    progress(`alone ${i + 1} of ${count}`);
  }
  const idleUntil = performance.now() + IDLE_MS;
  const idle = await watchHealth(() => performance.now() > idleUntil);

  const started = performance.now();
  const length = minutes * 60_000;
  const isOver = (): boolean => performance.now() - started > length;
  const store = async (): Promise<number> => {
    let deaths = 0;
    for (const third of [1, 2]) {
      await pause((third * length) / 3 - (performance.now() - started));
      redis.hang(true);
      await pause(HANG_MS);
      await redis.kill();
      deaths++;
      await pause(DOWN_MS);
      await redis.restart();
    }
    return deaths;
  };
  const crowd = Array.from({ length: clients }, async () => {
    while (!isOver()) {
      await one();
      const left = Math.round((length - (performance.now() - started)) / 1000);
      progress(`${numAnswers()} answers, ${differences.length} differ, ${failures.length} failed, ${left} s left`);
    }
  });
  let isCrowdOver = false;
  const [health, deaths] = await Promise.all([
    watchHealth(() => isCrowdOver),
    store(),
    Promise.all(crowd).then(() => {
      isCrowdOver = true;
    }),
  ]);
  const seconds = Math.round((performance.now() - started) / 1000);
  const settleUntil = performance.now() + SETTLE_MS;
  const atWork = async (): Promise<number> =>
    (await metric("num_requests_running")) + (await metric("num_requests_waiting"));
  let left = await atWork();
  while (left > 0 && performance.now() < settleUntil) {
    await pause(100);
    left = await atWork();
  }
  const fetches = (outcome: string): Promise<number> => metric("page_store_fetches_total", { outcome });
  const row = {
    test: "soak",
    clients,
    seconds,
    answers: numAnswers(),
    answers_by_kind: answers,
    different_answers: differences.length,
    failed_requests: failures.length,
    server_errors: serverErrors,
    hang_ups: hangUps,
    left_at_work: left,
    store_deaths: deaths,
    store_hits: await fetches("hit"),
    store_misses: await fetches("miss"),
    store_failed: await fetches("failed"),
    store_skipped: await fetches("skipped"),
    store_tokens: await metric("page_store_tokens_total"),
    preemptions: await metric("num_preemptions_total"),
    health_idle_ms: median(idle),
    health_idle_ms_longest: Math.max(...idle),
    health_ms: median(health),
    health_ms_p99: quantile(health, 0.99),
    health_ms_longest: Math.max(...health),
    failures: [...new Set(failures)].slice(0, 5),
    cpu_info: `${cpus()[0]?.model.trim()}, ${availableParallelism()} logical processors`,
    runtime: `Node ${process.version}`,
    build_commit: await buildCommit(),
    test_time: new Date().toISOString(),
  };
  progress("");
  if (values.out) appendFileSync(values.out, `${JSON.stringify(row)}\n`);
  if (values.json) console.log(JSON.stringify({ ...row, differences }));
  else {
    for (const { number, kind, model, alone, crowd: other } of differences) {
      console.log(`different: ${kind} ${number} to ${model}\n  alone ${alone}\n  crowd ${other}`);
    }
    for (const failure of row.failures) console.log(`failed: ${failure}`);
    const kinds = KINDS.map((kind) => `${kind} ${answers[kind]}`).join(", ");
    console.log(
      `${row.answers} answers in ${seconds} s of ${clients} clients (${kinds}): ${differences.length} differ, ${failures.length} failed, ` +
        `${serverErrors} of them with 5xx; ${hangUps} hung up, ${left} left at work`,
    );
    console.log(
      `store, killed ${deaths} times: ${row.store_hits} hits of ${row.store_tokens} tokens, ${row.store_misses} misses, ` +
        `${row.store_failed} failed, ${row.store_skipped} skipped; ${row.preemptions} preemptions`,
    );
    const ms = (value: number): string => value.toFixed(1);
    console.log(
      `/health: ${ms(row.health_ms)} ms, p99 ${ms(row.health_ms_p99)}, longest ${ms(row.health_ms_longest)}; ` +
        `idle ${ms(row.health_idle_ms)}, longest ${ms(row.health_idle_ms_longest)}`,
    );
  }
  if (differences.length + failures.length + left > 0 || row.store_hits === 0 || row.store_failed === 0)
    process.exitCode = 1;
} finally {
  await Promise.all(servers.map((server) => server.stop()));
  await redis.dispose();
}
