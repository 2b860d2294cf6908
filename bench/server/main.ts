/**
 * @file Load and memory of the server, on the built package (`npm run build` first).
 *
 *   npx tsx bench/server/main.ts                          all seven, the load for 300 s
 *   npx tsx bench/server/main.ts load --seconds 20        one of: load, resident, shared-prefix, batching, connections, health, budget
 *   npx tsx bench/server/main.ts budget --length 960      conversations that grow to so many tokens in half of what 16 take in k4v4
 *   options: --clients 64 --seconds 300 --requests 48 --budget 64MB --tokens 1500 --repeats 7 --connections 10000 --length 960 --answer-tokens 256 --model REF -t N --out FILE
 *
 * Prints a JSON line for each, and exits with 1 when an answer was wrong, a request failed, or the budget was exceeded, or a
 * connection was refused or never closed, or a request delayed the health check by more than 50 ms. Connections take as many open files on each side (`ulimit -n`).
 */
import { appendFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { buildCommit } from "../../src/cli/build-info.ts";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import { measureBatching } from "./batching.ts";
import { measureBudget } from "./budget.ts";
import { measureConnections } from "./connections.ts";
import { measureHealth } from "./health.ts";
import { measureLoad } from "./load.ts";
import { measureResident } from "./resident.ts";
import { measureSharedPrefix } from "./shared-prefix.ts";

const PARTS = ["batching", "shared-prefix", "resident", "connections", "health", "budget", "load"] as const;
/** What stays resident, the exact cache first, then codes with less and less of a 16-bit window beside them. */
const RESIDENT_KV = ["f16", "k4v4", "k4v4,window=16bit", "k4v4,window=32", "k4v4,window=0"];

const { values, positionals } = readCommandLine({
  allowPositionals: true,
  options: {
    clients: { type: "string", default: "64" },
    seconds: { type: "string", default: "300" },
    requests: { type: "string", default: "48" },
    budget: { type: "string", default: "64MB" },
    tokens: { type: "string", default: "1500" },
    length: { type: "string", default: "960" },
    repeats: { type: "string", default: "7" },
    streams: { type: "string", default: "8" },
    "answer-tokens": { type: "string", default: "256" },
    connections: { type: "string", default: "10000" },
    model: { type: "string" },
    threads: { type: "string", short: "t" },
    out: { type: "string" },
  },
});
const wrongPart = positionals.find((part) => !(PARTS as readonly string[]).includes(part));
if (wrongPart !== undefined) refuse(`expected parts of ${PARTS.join(", ")}, got ${wrongPart}`);
const parts = positionals.length > 0 ? positionals : PARTS;
const serve = [...(values.model ? ["--model", values.model] : []), ...(values.threads ? ["-t", values.threads] : [])];
const environment = {
  cpu_info: `${cpus()[0]?.model.trim()}, ${availableParallelism()} logical processors`,
  runtime: `Node ${process.version}`,
  build_commit: await buildCommit(),
  test_time: new Date().toISOString(),
};

function report(row: object): void {
  const line = JSON.stringify({ ...row, ...environment });
  console.log(line);
  if (values.out) appendFileSync(values.out, `${line}\n`);
}
const onProgress = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`);
};

if (parts.includes("batching")) {
  const answerTokens = Number(values["answer-tokens"]);
  report(await measureBatching(Number(values.streams), Number(values.repeats), answerTokens, serve));
}
if (parts.includes("shared-prefix")) {
  report(await measureSharedPrefix(Number(values.tokens), Number(values.repeats), serve));
}
if (parts.includes("resident")) {
  for (const kv of RESIDENT_KV) report(await measureResident(kv, values.budget, Number(values.tokens), serve));
}
if (parts.includes("connections")) {
  const row = await measureConnections(Number(values.connections), Number(values.repeats), serve);
  report(row);
  const isOpen = row.open_at_once === row.connections && row.closed_by_server === row.connections;
  if (!isOpen || row.wrong_answers + row.failed_requests > 0) process.exitCode = 1;
}
if (parts.includes("health")) {
  const row = await measureHealth(serve);
  report(row);
  if (row.worst_delay_ms > row.allowed_delay_ms) process.exitCode = 1;
}
if (parts.includes("budget")) {
  for (const row of await measureBudget(Number(values.length), serve, onProgress, values.model)) report(row);
}
if (parts.includes("load")) {
  const row = await measureLoad({
    clients: Number(values.clients),
    seconds: Number(values.seconds),
    budget: values.budget,
    requests: Number(values.requests),
    serve,
    onProgress,
  });
  onProgress("");
  report(row);
  if (row.wrong_answers + row.failed_requests > 0 || row.kv_bytes_most > row.kv_budget_bytes) process.exitCode = 1;
}
