/**
 * @file Random requests, most of them wrong somewhere, to every route of a server, on the built package (`npm run build` first).
 *
 *   npx tsx bench/server/fuzz.ts [-n 10000] [--seed 1] [--json]
 *   npx tsx bench/server/fuzz.ts --seed 1 --only 4711      one request of these alone, with what was sent and answered
 *   options: --clients 8 --model REF -t N --out FILE
 *
 * Each is a valid request of a route with up to five of its parts replaced, left out, repeated or added: other types, extreme numbers, long and odd strings,
 * lone surrogates, long lists, deep nesting; some with a body that is cut off or is no UTF-8 or no JSON, another method, path or header; some come slowly, some are
 * hung up on inside the body or the answer. All go over connections that are kept, several at once. The requests of a seed are always the same.
 *
 * An answer must be 2xx or 4xx with the error of its API, whole, and a stream must have its last event, within a minute. The process must live, /health answer within two
 * seconds all the time, resident memory not grow by more than a quarter from the second quarter of the requests to the last, nothing be left at work, and a plain request have
 * the same answer before and after. Prints each fault with the number that repeats it; --json one line of JSON. Exits with 1 when there was one.
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { Agent } from "node:http";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { buildCommit } from "../../src/cli/build-info.ts";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import { reasonsOf } from "./connection-error.ts";
import { faultOf, send } from "./fuzz-client.ts";
import { type FuzzedRequest, fuzzedRequest } from "./fuzz-requests.ts";
import { median, quantile } from "./prompts.ts";
import { ServerProcess } from "./server-process.ts";

const { values } = readCommandLine({
  options: {
    number: { type: "string", short: "n", default: "10000" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    clients: { type: "string", default: "8" },
    model: { type: "string", default: "qwen3-1m" },
    threads: { type: "string", short: "t", default: "1" },
    json: { type: "boolean", default: false },
    out: { type: "string" },
  },
});
const [count, seed, clients] = [values.number, values.seed, values.clients].map(Number) as [number, number, number];
const only = values.only === undefined ? null : Number(values.only);
if (!(Number.isSafeInteger(count) && count > 0 && Number.isSafeInteger(clients) && clients > 0)) {
  refuse("expected whole numbers from 1 on for --number and --clients");
}
if (!Number.isSafeInteger(seed) || (only !== null && !(Number.isSafeInteger(only) && only >= 0))) {
  refuse("expected whole numbers for --seed and --only");
}

const DEADLINE_MS = 60_000;
const HEALTH_EVERY_MS = 100;
const MOST_HEALTH_MS = 2000;
const MOST_GROWTH = 0.25;
/** Nothing more is asked behind so many: a server that has died refuses all that follows. */
const MOST_FAULTS = 100;
/** Longest time that the server may take to notice that the last client has gone. */
const SETTLE_MS = 30_000;
const CONTEXT = 512;

const faults: { index: number | null; fault: string }[] = [];
const statuses: Record<string, number> = {};
const health: number[] = [];
/** Resident memory behind each request, bytes. */
const resident: number[] = [];
let [serverErrors, hangs, hangUps, sentAgain, done] = [0, 0, 0, 0, 0];

const say = (text: string): void => {
  if (!values.json) console.log(text);
};
const progress = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`);
};

function onFault(asked: FuzzedRequest | null, fault: string): void {
  faults.push({ index: asked?.index ?? null, fault });
  progress("");
  if (asked === null) {
    say(`fault: ${fault}`);
    return;
  }
  const { index, method, path, manner, changes } = asked;
  say(
    `fault: ${fault.slice(0, 600)}\n  ${method} ${path.slice(0, 100)}, ${manner} (${changes.join("; ")})\n  ` +
      `again: npx tsx bench/server/fuzz.ts --seed ${seed} --only ${index}`,
  );
}

const folder = mkdtempSync(join(tmpdir(), "turboquant-fuzz-"));
const agent = new Agent({ keepAlive: true, maxSockets: clients });
const server = await ServerProcess.start([
  ...["-m", `small=${values.model}`, "-m", `other=${values.model}`, "-t", values.threads],
  ...["-c", `${CONTEXT}`, "--slot-save-path", folder],
]);

async function one(asked: FuzzedRequest): Promise<void> {
  try {
    const answer = await send(server.url, asked, agent, DEADLINE_MS, () => sentAgain++);
    if (answer === null) {
      hangUps++;
      return;
    }
    statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
    if (only !== null) say(`${answer.status} ${JSON.stringify(answer.headers)}\n${answer.text.slice(0, 4000)}`);
    if (answer.status >= 500) serverErrors++;
    const fault = faultOf(asked, answer);
    if (fault !== null) onFault(asked, fault);
  } catch (error) {
    const reason = reasonsOf(error);
    if (reason.startsWith("no end after")) hangs++;
    onFault(asked, reason);
  }
}

/** What a plain request is answered. */
async function plain(): Promise<string> {
  const response = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "small", prompt: "The river was", max_tokens: 24, temperature: 0 }),
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  const { choices } = await response.json();
  return JSON.stringify(choices);
}

async function watchHealth(isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const started = performance.now();
    try {
      const response = await fetch(`${server.url}/health`, { signal: AbortSignal.timeout(DEADLINE_MS) });
      await response.arrayBuffer();
      if (response.status !== 200) onFault(null, `/health: status ${response.status}`);
    } catch (error) {
      onFault(null, `/health: ${reasonsOf(error)}`);
      return;
    }
    const ms = performance.now() - started;
    health.push(ms);
    if (ms > MOST_HEALTH_MS) onFault(null, `/health took ${Math.round(ms)} ms`);
    await pause(HEALTH_EVERY_MS);
  }
}

/** The most of the given share of the requests; NaN where it cannot be read. */
const mostResident = (from: number, to: number): number =>
  resident
    .slice(Math.floor(from * resident.length), Math.ceil(to * resident.length))
    .reduce((most, bytes) => Math.max(most, bytes), 0);

async function leftAtWork(): Promise<number> {
  const until = performance.now() + SETTLE_MS;
  for (;;) {
    const left = (await server.metric("num_requests_running")) + (await server.metric("num_requests_waiting"));
    if (left === 0 || performance.now() > until) return left;
    await pause(100);
  }
}

const started = performance.now();
let left = 0;
try {
  const before = await plain();
  if (only !== null) {
    const asked = fuzzedRequest(seed, only);
    say(
      `${asked.method} ${asked.path} ${JSON.stringify(asked.headers)}, ${asked.manner} (${asked.changes.join("; ")})`,
    );
    if (asked.body) say(asked.body.toString("utf8").slice(0, 4000));
    await one(asked);
  } else {
    let next = 0;
    let isOver = false;
    const client = async (): Promise<void> => {
      while (next < count && faults.length < MOST_FAULTS) {
        await one(fuzzedRequest(seed, next++));
        resident.push(server.residentBytes());
        done++;
        const seconds = ((performance.now() - started) / 1000 / done) * (count - done);
        if (done % 20 === 0) progress(`${done} of ${count}, ${faults.length} faults, ${Math.round(seconds)} s left`);
      }
    };
    const watching = watchHealth(() => isOver);
    await Promise.all(Array.from({ length: clients }, client));
    isOver = true;
    await watching;
  }
  left = await leftAtWork();
  if (left > 0) onFault(null, `${left} left at work`);
  if ((await plain()) !== before) onFault(null, "the plain request is answered otherwise than before");
} catch (error) {
  onFault(null, `the server does not answer any more: ${reasonsOf(error)}`);
} finally {
  agent.destroy();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
progress("");

const growth = only === null ? mostResident(0.75, 1) / mostResident(0.25, 0.5) - 1 : 0;
if (growth > MOST_GROWTH) onFault(null, `resident memory grew by ${Math.round(100 * growth)} %`);
const row = {
  test: "fuzz",
  requests: only === null ? done : 1,
  seed,
  clients,
  faults: faults.length,
  server_errors: serverErrors,
  hangs,
  hang_ups: hangUps,
  sent_again: sentAgain,
  statuses,
  left_at_work: left,
  resident_growth: Number.isFinite(growth) ? growth : null,
  health_ms: median(health),
  health_ms_p99: quantile(health, 0.99),
  health_ms_longest: health.reduce((most, ms) => Math.max(most, ms), 0),
  failures: faults.slice(0, 5).map(({ index, fault }) => ({ index, fault: fault.slice(0, 300) })),
  seconds: Math.round((performance.now() - started) / 1000),
  cpu_info: `${cpus()[0]?.model.trim()}, ${availableParallelism()} logical processors`,
  runtime: `Node ${process.version}`,
  build_commit: await buildCommit(),
  test_time: new Date().toISOString(),
};
if (values.out && only === null) appendFileSync(values.out, `${JSON.stringify(row)}\n`);
if (values.json) console.log(JSON.stringify(row));
const byStatus = Object.entries(statuses).map(([status, number]) => `${number} with ${status}`);
say(
  `${row.requests} requests in ${row.seconds} s (${byStatus.join(", ")}, ${hangUps} hung up): ${faults.length} faults, ${serverErrors} with 5xx, ${hangs} hung`,
);
if (only === null) {
  say(
    `/health: ${row.health_ms.toFixed(1)} ms, longest ${row.health_ms_longest.toFixed(1)}; resident memory ${Number.isFinite(growth) ? `${(100 * growth).toFixed(1)} %` : "cannot be read here"}`,
  );
}
if (faults.length > 0) process.exitCode = 1;
