/** @file Section of the benchmarks on the server: load, residency, shared prefixes, batching, silent connections (bench/server). */
import { fixed, num, type Row, recordedAs, rows, table, target, times } from "./rows.ts";

const all = rows("server");
const last = (test: string, kv?: string): Row | undefined =>
  all.filter((row) => row["test"] === test && (kv === undefined || row["kv"] === kv)).at(-1);
/** Rows of the test's format that were recorded. */
const named = (preset: string): string => recordedAs(all, preset);
const mb = (bytes: number): string => fixed(bytes / 1e6, 1);

/** The model that is served where none is named. */
const EMBEDDED = "qwen3-3m";

export function serverSection(): string {
  if (all.length === 0) return "Not recorded.";
  const load = last("load");
  const prefix = last("shared-prefix");
  // Rows that name no model, or the embedded one, are what the target is of.
  const isEmbedded = (row: Row): boolean => (row["model"] ?? EMBEDDED) === EMBEDDED;
  const batchings = all.filter((row) => row["test"] === "batching");
  const batching = batchings.filter(isEmbedded).at(-1);
  const otherModels = [...new Set(batchings.filter((row) => !isEmbedded(row)).map((row) => String(row["model"])))];
  const connections = last("connections");
  const formats = [...new Set(all.filter((row) => row["test"] === "resident").map((row) => String(row["kv"])))];
  const conversations = (kv: string): number => num(last("resident", kv), "conversations");

  target(
    "server: wrong answers and failed requests under load",
    num(load, "wrong_answers") + num(load, "failed_requests"),
    "≤",
    0,
    "",
    0,
  );
  target("server: time to first token, p99 to median", num(load, "ttft_ratio"), "≤", 2, "×");
  target(
    "server: growth of resident memory after the first minute",
    100 * num(load, "resident_growth"),
    "≤",
    5,
    "%",
    1,
  );
  target(
    "server: most cache bytes to the budget",
    num(load, "kv_bytes_most") / num(load, "kv_budget_bytes"),
    "≤",
    1,
    "×",
  );
  target(
    `server: 1,500-token conversations that stay, ${named("k4v4")} to f16`,
    conversations(named("k4v4")) / conversations("f16"),
    "≥",
    3.3,
    "×",
  );
  const budgetKv = [...new Set(all.filter((row) => row["test"] === "budget").map((row) => String(row["kv"])))];
  target(
    `server: conversations without preemption in half the memory, auto to ${named("k4v4")}`,
    num(last("budget", "auto"), "conversations_ratio"),
    "≥",
    1.8,
    "×",
  );
  target(
    `server: mean KLD of these conversations, auto to ${named("k2v2")}`,
    num(last("budget", "auto"), "kld_mean") / num(last("budget", named("k2v2")), "kld_mean"),
    "≤",
    1,
    "×",
  );
  target("server: first token after a shared prefix of 1,500 tokens, sooner by", num(prefix, "ratio"), "≥", 8, "×", 1);
  target("server: tokens/s of 8 streams to one", num(batching, "ratio"), "≥", 2.5, "×");

  const schemas = last("schemas");
  target(
    "server: schema-bound answers that are not valid, or failed",
    num(schemas, "answers") - num(schemas, "valid") + num(schemas, "failed_requests"),
    "≤",
    0,
    "",
    0,
  );
  const soak = last("soak");
  target(
    "server: answers of all kinds that differ or failed, over a store that dies",
    num(soak, "different_answers") + num(soak, "failed_requests"),
    "≤",
    0,
    "",
    0,
  );
  const fuzz = last("fuzz");
  target("server: fuzzed requests with a 5xx, a hang or a crash", num(fuzz, "faults"), "≤", 0, "", 0);
  const count = (row: Row | undefined, field: string): string => num(row, field).toLocaleString("en-US");

  const loadRows = [
    ["cache, recorded", `${String(load?.["kv"])}, ${String(load?.["test_time"] ?? "").slice(0, 10)}`],
    ["clients, seconds", `${fixed(num(load, "clients"), 0)}, ${fixed(num(load, "seconds"), 0)}`],
    [
      "answers, wrong, failed",
      ["answers", "wrong_answers", "failed_requests"].map((f) => fixed(num(load, f), 0)).join(", "),
    ],
    ["tokens/s", fixed(num(load, "tok_per_s"), 0)],
    [
      "time to first token, median, p99, ms",
      `${fixed(num(load, "ttft_ms_p50"), 0)}, ${fixed(num(load, "ttft_ms_p99"), 0)}`,
    ],
    [
      "resident memory after a minute, at the end, MB",
      `${mb(num(load, "resident_bytes_settled"))}, ${mb(num(load, "resident_bytes_end"))}`,
    ],
    ["cache bytes at most, budget, MB", `${mb(num(load, "kv_bytes_most"))}, ${mb(num(load, "kv_budget_bytes"))}`],
    ["prompt tokens found in kept prefixes", `${fixed(100 * num(load, "prefix_hit_rate"), 0)} %`],
  ];
  const residentRows = formats.map((kv) => [
    kv,
    fixed(conversations(kv), 0),
    mb(num(last("resident", kv), "bytes_a_conversation")),
    times(conversations(kv) / conversations("f16")),
  ]);
  const budgetRows = budgetKv.map((kv) => {
    const row = last("budget", kv);
    return [
      kv,
      fixed(num(row, "conversations"), 0),
      times(num(row, "conversations_ratio")),
      fixed(num(row, "pages_coarsened"), 0),
      `${fixed(num(row, "kld_mean"), 5)} ± ${fixed(num(row, "kld_mean_se"), 5)}`,
      fixed(num(row, "kld_p999"), 3),
    ];
  });
  return [
    table(["load", ""], loadRows),
    `Conversations of 1,500 tokens in ${mb(num(last("resident"), "kv_budget_bytes"))} MB; sinks and window are part of each:`,
    table(["cache", "conversations", "MB each", "to f16"], residentRows),
    `Conversations that grow to ${fixed(num(last("budget"), "tokens"), 0)} tokens side by side before one is preempted, in ${mb(num(last("budget"), "kv_budget_bytes"))} MB, ` +
      `${last("budget")?.["budget_of"]}; the divergence is that of as many texts in the same budget, fed side by side, behind their first 64 tokens ` +
      "(`npx tsx bench/server/main.ts budget`):",
    table(["cache", "conversations", `to ${named("k4v4")}`, "pages coded anew", "mean KLD", "p99.9"], budgetRows),
    table(
      ["", "alone, or cold", "together, or warm", ""],
      [
        [
          "first token, 1,500 shared tokens, ms",
          fixed(num(prefix, "cold_ttft_ms"), 0),
          fixed(num(prefix, "warm_ttft_ms"), 0),
          times(num(prefix, "ratio")),
        ],
        [
          "tokens/s, 8 streams",
          fixed(num(batching, "single_tok_per_s"), 0),
          fixed(num(batching, "batch_tok_per_s"), 0),
          times(num(batching, "ratio")),
        ],
        ...otherModels.map((model) => {
          const row = batchings.filter((other) => other["model"] === model).at(-1);
          return [
            `tokens/s, ${num(row, "streams")} streams, ${model}`,
            fixed(num(row, "single_tok_per_s"), 0),
            fixed(num(row, "batch_tok_per_s"), 0),
            times(num(row, "ratio")),
          ];
        }),
      ],
    ),
    `${num(connections, "connections").toLocaleString("en-US")} connections that say nothing: ` +
      `${num(connections, "open_at_once").toLocaleString("en-US")} open at once, ${fixed(num(connections, "bytes_per_connection") / 1e3, 1)} kB each, ` +
      `${num(connections, "closed_by_server").toLocaleString("en-US")} closed by the server; first token of requests beside them after ` +
      `${fixed(num(connections, "ttft_ms_beside"), 0)} ms (${fixed(num(connections, "ttft_ms_before"), 0)} before), ` +
      `${num(connections, "failed_requests")} failed, ${num(connections, "wrong_answers")} wrong.`,
    soak &&
      `Completions, chats, schemas, calls, tools, regular expressions and responses of ${count(soak, "clients")} clients on two servers of two models, whose prefix store was killed ` +
        `${count(soak, "store_deaths")} times in ${count(soak, "seconds")} s: ${count(soak, "answers")} answers, ${count(soak, "different_answers")} unlike the same request alone, ` +
        `${count(soak, "failed_requests")} failed, ${count(soak, "server_errors")} with 5xx; ${count(soak, "hang_ups")} hung up and left ${count(soak, "left_at_work")} at work. ` +
        `The store: ${count(soak, "store_hits")} hits of ${count(soak, "store_tokens")} tokens, ${count(soak, "store_misses")} misses, ${count(soak, "store_failed")} failed, ` +
        `${count(soak, "store_skipped")} skipped. \`/health\`, on processors shared with other programs: median ${fixed(num(soak, "health_ms"), 0)} ms, p99 ${fixed(num(soak, "health_ms_p99"), 0)}, ` +
        `longest ${fixed(num(soak, "health_ms_longest"), 0)}; idle ${fixed(num(soak, "health_idle_ms"), 0)}, longest ${fixed(num(soak, "health_idle_ms_longest"), 0)} (\`npx tsx bench/server/soak.ts\`).`,
    schemas &&
      `Answers bound to schemas of JSON Schema's test suite at temperature 1: ${count(schemas, "valid")} of ${count(schemas, "answers")} valid by Ajv, ` +
        `${count(schemas, "composed")} of them of schemas made of two. ${count(schemas, "refused")} schemas were refused by name, ${count(schemas, "truncated")} answers did not end in ` +
        `512 tokens, ${count(schemas, "not_compiled_by_validator")} schemas Ajv does not compile, ${count(schemas, "undecided")} multiples it cannot decide, ${count(schemas, "failed_requests")} requests without an answer (\`npx tsx bench/server/schemas.ts\`).`,
    fuzz &&
      `Requests of all routes with parts made wrong, from ${count(fuzz, "clients")} clients: ${count(fuzz, "requests")} in ${count(fuzz, "seconds")} s, ${count(fuzz, "faults")} faults ` +
        `(${count(fuzz, "server_errors")} answers with 5xx, ${count(fuzz, "hangs")} without an end), ${count(fuzz, "hang_ups")} hung up, ${count(fuzz, "left_at_work")} left at work; ` +
        `resident memory ${fixed(100 * num(fuzz, "resident_growth"), 1)} % more in the last quarter than in the second; \`/health\` longest ${fixed(num(fuzz, "health_ms_longest"), 0)} ms (\`npx tsx bench/server/fuzz.ts\`).`,
  ]
    .filter(Boolean)
    .join("\n\n");
}
