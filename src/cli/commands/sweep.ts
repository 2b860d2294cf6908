/** @file `turboquant sweep`: evaluates the KV formats and settings of a search space run by run. Finished runs are stored at once. */
import { join } from "node:path";
import { type Command, Option } from "commander";
import { nameOfRef } from "../../formats/model-name.ts";
import { type CandidateList, describe, listCandidates } from "../../lab/candidates.ts";
import type { StoreManifest } from "../../lab/store-format.ts";
import { createStrategy } from "../../lab/strategies/create-strategy.ts";
import type { Strategy } from "../../lab/strategies/strategy.ts";
import { latestRows, type SweepRow } from "../../lab/sweep-row.ts";
import { buildCommit } from "../build-info.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { tableWidth } from "../format.ts";
import {
  addBackendOptions,
  addQueueOptions,
  type BackendFlags,
  collectText,
  DEFAULT_MODEL,
  type OutputFlags,
  realNumber,
  wholeNumber,
  wholeNumbers,
} from "../options.ts";
import { modelRef, preflight } from "../sweep/preflight.ts";
import { bestOf, frontsOf, frontTable, queryTable } from "../sweep/print-sweep.ts";
import { formatDuration, progressDetail } from "../sweep/progress-line.ts";
import { queryResults, writeParquet } from "../sweep/query-results.ts";
import { readSpace, type SpaceFlags, shippedSpaces, withFlags } from "../sweep/resolve-space.ts";
import { Sweep } from "../sweep/run-sweep.ts";
import { DEFAULT_QUEUED, localStaff, queueOf, queueStaff, type Staff, type StaffFlags } from "../sweep/staff.ts";
import { readStore, readStoreManifest, SweepStore } from "../sweep/sweep-store.ts";
import { type IdentifiedText, readSweepText } from "../sweep/sweep-text.ts";
import { serveTasks } from "../sweep/worker.ts";

interface SweepFlags extends SpaceFlags, BackendFlags, OutputFlags, StaffFlags {
  readonly space?: string;
  readonly store?: string;
  readonly models?: string;
  readonly retryFailed?: boolean;
  readonly dryRun?: boolean;
  readonly sql?: string;
  readonly parquet?: boolean;
  readonly worker?: boolean;
}

const DEFAULT_SPACE = "article";
/** Directory below the working directory that holds one store for each space. */
const STORES = "sweeps";

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Measures many KV formats and settings, each as `eval` does, and keeps a row a run. A sweep that was stopped or killed " +
        "goes on where it was: run the same command again. What to try is a file (docs/lab.md).",
    )
    .option("--space <name>", `what to try: ${shippedSpaces().join(", ")} or a JSON file (default: ${DEFAULT_SPACE})`)
    .option(
      "--store <dir>",
      `directory of the rows (default: ${STORES}/NAME of the space); alone: go on with that sweep`,
    )
    .option(
      "-m, --model <ref>",
      `in place of the space's models; may be repeated (default: ${DEFAULT_MODEL})`,
      collectText,
    )
    .option("--models <dir>", "where models named in the space lie, before anywhere else")
    .option("--text <file>", "text to evaluate on (default: the space's, or one that the model writes)")
    .option("-c, --ctx <list>", "in place of the space's contexts, comma separated", wholeNumbers(2))
    .option("--chunks <n>", "chunks of each run", wholeNumber(1))
    .option("--needle <n>", "recall prompts of each run", wholeNumber(0))
    .addOption(new Option("--strategy <name>", "how to search").choices(["grid", "random", "tpe", "halving"]))
    .addOption(
      new Option("--objective <figure>", "what to make small; rate is bits + log4 KLD").choices([
        "rate",
        "kldMean",
        "kldP99",
        "kldP999",
        "pplRatio",
        "bitsPerValue",
      ]),
    )
    .option("--runs <n>", "budget: runs in all", wholeNumber(1))
    .option("--minutes <n>", "budget: minutes in all; what is running then is finished", realNumber)
    .option("--seed <n>", "of the draws of a strategy", wholeNumber(0, 2 ** 32 - 1))
    .option("--workers <n>", "processes that evaluate (default: all processors; 0: this one)", wholeNumber(0, 256))
    .option("-t, --threads <n>", "threads of each worker (default: 1)", wholeNumber(1, 1024))
    .option("--skip-impossible", "leave out combinations that no cache can have, instead of refusing the space")
    .option("--retry-failed", "do failed runs again")
    .option("--dry-run", "list the runs and stop")
    .option("--parquet", "also write results.parquet (needs @duckdb/node-api)")
    .option("--sql <query>", "ask the store instead of running: a table `results`, parameters as p_NAME (needs DuckDB)")
    .option("--json", "print one JSON object and nothing else on stdout")
    .option("--quiet", "no progress and no notes on stderr")
    .addOption(new Option("--worker", "serve the sweep that started this process").hideHelp());
  addQueueOptions(
    command,
    `hand runs to turboquant sweep-worker on any host, through Redis or Valkey (redis://host:6379/0); --workers: at once (default: ${DEFAULT_QUEUED})`,
  );
  addBackendOptions(command)
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant sweep
  $ turboquant sweep --space article --text novel.txt --workers 2
  $ turboquant sweep --space mine.jsonc --strategy tpe --runs 60 --minutes 30
  $ turboquant sweep --queue redis://host:6379/0
  $ turboquant sweep --store sweeps/article --sql "SELECT kv, kldMean FROM results ORDER BY kldMean LIMIT 5"
  $ turboquant report sweeps/article --out report.html`,
    )
    .action((flags: SweepFlags) => {
      if (flags.worker) return serveTasks(context);
      return flags.sql === undefined ? run(flags, context) : query(flags, flags.sql, context);
    });
}

async function query(flags: SweepFlags, sql: string, context: CommandContext): Promise<void> {
  const directory = flags.store ?? join(STORES, readSpace(flags.space ?? DEFAULT_SPACE).name);
  const result = await queryResults(readStore(directory).rows, sql);
  const objects = result.rows.map((row) => Object.fromEntries(result.columns.map((name, i) => [name, row[i]])));
  context.io.stdout.write(
    flags.json ? `${JSON.stringify({ rows: objects })}\n` : queryTable(result, tableWidth(context.io.stdout)),
  );
}

interface Resolved {
  readonly directory: string;
  readonly manifest: StoreManifest;
  readonly text: IdentifiedText;
  readonly list: CandidateList;
  readonly strategy: Strategy;
}

/** Turns the command line into a list of runs; writes nothing. */
async function resolve(flags: SweepFlags): Promise<Resolved> {
  const stored = flags.space === undefined && flags.store !== undefined ? readStoreManifest(flags.store) : null;
  const space = withFlags(stored?.space ?? readSpace(flags.space ?? DEFAULT_SPACE), flags);
  const defaultModel = stored?.defaultModel ?? DEFAULT_MODEL;
  const list = listCandidates(space, defaultModel);
  const text = await readSweepText(space.text, list.candidates, space.chunks, space.needle);
  const manifest = { space, defaultModel, textSha256: text.sha256, created: new Date().toISOString() };
  const directory = flags.store ?? join(STORES, space.name);
  return { directory, manifest, text, list, strategy: createStrategy(space, list.candidates) };
}

async function run(flags: SweepFlags, context: CommandContext): Promise<void> {
  const { io, signal } = context;
  const { directory, manifest, text, list, strategy } = await resolve(flags);
  const { space } = manifest;
  const note = (message: string): void => {
    if (!flags.quiet) io.stderr.write(`note: ${message}\n`);
  };
  noteLeftOut(list, note);
  if (flags.dryRun) return printRuns(strategy, list, flags, context);
  const refOf = (model: string): string => modelRef(model, flags.models);
  const queue = await queueOf(flags);
  const progress = progressOf(context, flags);
  const sizes = await preflight(list.candidates, {
    refOf,
    text: text.text,
    chunks: space.chunks,
    signal,
    onProgress: progress.onEvent,
  });
  progress.clear();
  const store = SweepStore.open(directory, manifest);
  const setup = {
    text: text.text,
    base: space.base,
    needle: space.needle,
    backend: flags.backend,
    weights: flags.weights,
    threads: flags.threads ?? 1,
  };
  let staff: Staff | null = null;
  try {
    for (const message of store.notes) note(message);
    staff =
      queue === null
        ? localStaff(flags, setup, strategy.limit)
        : await queueStaff(queue, flags, {
            setup,
            models: [...sizes.keys()],
            refOf,
            created: store.created,
            note: (message) => {
              progress.clear();
              note(message);
            },
            onProgress: progress.onEvent,
            signal,
          });
    const { evaluators, numWorkers } = staff;
    const sweep = new Sweep(
      {
        strategy,
        objective: space.objective,
        settings: { base: space.base, needle: space.needle, textSha256: text.sha256 },
        // Where a model lies is known by the host that computes.
        refOf: queue === null ? refOf : (model) => model,
        costOf: ({ model, ctx }, chunks) => ctx * chunks * (sizes.get(model) ?? 1),
        maxSeconds: (space.budget.minutes ?? Number.POSITIVE_INFINITY) * 60,
        retryFailed: flags.retryFailed === true,
        commit: await buildCommit(),
      },
      store,
    );
    const before = sweep.state();
    if (before.done > 0) note(`${before.done} of ${before.total} runs are done already`);
    const began = performance.now();
    const outcome = await sweep.run(evaluators, signal, (state) => {
      progress.update("sweep", state.done, state.total, progressDetail(state, numWorkers()), false);
    });
    progress.clear();
    if (outcome.isOutOfTime) {
      note(
        `the ${space.budget.minutes} minutes are over after ${outcome.done} of ${outcome.total} runs; raise --minutes to go on`,
      );
    }
    if (outcome.stoppedBy !== null) {
      io.stderr.write(
        `error: stopped, because a worker ended three times in a row (${outcome.stoppedBy}); ${outcome.total - outcome.done} runs are left. Give it more memory or fewer --workers, or see with --workers 0 what ends it, then run the same command again\n`,
      );
      context.setExitCode(1);
    }
    if (flags.parquet) await writeParquet(store.rows, join(directory, "results.parquet"));
    const seconds = (performance.now() - began) / 1000;
    print(store, { ...outcome, seconds, skipped: list.impossible.length }, flags, context);
    if (outcome.failed > 0) context.setExitCode(1);
    await staff.close(true);
    store.close();
  } catch (error) {
    progress.clear();
    if (signal.aborted)
      note(`${store.rows.length} finished runs are kept in ${directory}; run the same command again to go on`);
    await staff?.close(false);
    store.close(true);
    throw error;
  }
}

function noteLeftOut({ impossible, repeated }: CandidateList, note: (message: string) => void): void {
  if (impossible.length > 0) {
    const { parameters, reason } = impossible[0]!;
    note(`${impossible.length} impossible combinations are skipped, such as ${describe(parameters)} (${reason})`);
  }
  if (repeated > 0) note(`${repeated} combinations name a cache that another one names, too; each is measured once`);
}

/** Prints the runs known before the first result. A strategy that learns decides the others later. */
function printRuns(strategy: Strategy, list: CandidateList, flags: SweepFlags, { io }: CommandContext): void {
  const trials = strategy.trials(() => undefined);
  if (flags.json) {
    const runs = trials.map(({ candidate: { part, model, ctx, kv, parameters }, chunks }) => ({
      part,
      model,
      ctx,
      chunks,
      kv,
      parameters,
    }));
    io.stdout.write(`${JSON.stringify({ total: strategy.limit, skipped: list.impossible.length, runs })}\n`);
    return;
  }
  for (const { candidate, chunks } of trials) {
    io.stdout.write(
      `${candidate.part}: ${nameOfRef(candidate.model)}, ${chunks} × ${candidate.ctx} tokens, ${candidate.kv}\n`,
    );
  }
  const later = strategy.limit - trials.length;
  io.stdout.write(`${strategy.limit} runs${later > 0 ? `, ${later} of them chosen by results` : ""}\n`);
}

interface Figures {
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  readonly added: number;
  readonly skipped: number;
  readonly seconds: number;
}

function print(store: SweepStore, figures: Figures, flags: SweepFlags, { io }: CommandContext): void {
  const { done, total, failed, added, skipped, seconds } = figures;
  const best = bestOf(store.rows);
  const front = frontsOf(store.rows);
  if (flags.json) {
    const summary = { store: store.directory, done, total, failed, added, skipped, seconds, best, front };
    io.stdout.write(`${JSON.stringify(summary)}\n`);
    return;
  }
  if (front.length > 0) io.stdout.write(`${frontTable(front, best, tableWidth(io.stdout))}\n`);
  io.stdout.write(
    `${done} of ${total} runs in ${store.directory}, ${added} of them now in ${formatDuration(seconds)}${failed > 0 ? `; ${failed} failed` : ""}\n`,
  );
  for (const row of latestRows(store.rows).filter(isFailed).slice(0, 5))
    io.stdout.write(`failed: ${row.kv}: ${row.error}\n`);
  if (done > failed) io.stdout.write(`turboquant report ${store.directory} --out report.html  draws them\n`);
}

const isFailed = (row: SweepRow) => row.status === "failed";
