/** @file Prints the rows of `bench`: a markdown table for people, JSON lines with llama-bench's field names for scripts. */
import { appendFileSync } from "node:fs";
import { cpus } from "node:os";
import { type Command, Option } from "commander";
import { buildCommit, packageVersion } from "./build-info.ts";
import type { CommandContext } from "./context.ts";
import { type Column, markdownTable, tableWidth } from "./format.ts";
import { checkOutputFile } from "./output-file.ts";

export type BenchFormat = "md" | "jsonl" | "json";

export interface BenchOutputFlags {
  readonly output: BenchFormat;
  readonly json?: boolean;
  readonly out?: string;
  readonly quiet?: boolean;
}

export function addBenchOutputOptions(command: Command): Command {
  return command
    .addOption(new Option("-o, --output <format>", "what to print").choices(["md", "jsonl", "json"]).default("md"))
    .option("--json", "the same as -o json: one object with all rows")
    .option("--out <file>", "also append the rows to this file as JSON lines")
    .option("--quiet", "no progress on stderr");
}

/** Collects rows, prints them in the requested format, and adds commit, machine and date to JSON rows. */
export class BenchOutput {
  readonly #context: CommandContext;
  readonly #flags: BenchOutputFlags;
  readonly #columns: readonly Column[];
  readonly #stamp: object;
  readonly #cells: (readonly string[])[] = [];
  readonly #rows: object[] = [];
  /** What the first row that could not be written failed of; the table is printed all the same. */
  #failure: unknown = null;

  private constructor(context: CommandContext, flags: BenchOutputFlags, columns: readonly Column[], stamp: object) {
    this.#context = context;
    this.#flags = flags;
    this.#columns = columns;
    this.#stamp = stamp;
  }

  static async create(
    context: CommandContext,
    flags: BenchOutputFlags,
    columns: readonly Column[],
  ): Promise<BenchOutput> {
    // Refused now, rather than after the work.
    if (flags.out !== undefined) await checkOutputFile("--out", flags.out);
    const stamp = {
      build_commit: await buildCommit(),
      build_version: packageVersion(),
      runtime: `node ${process.versions.node}`,
      cpu_info: cpus()[0]?.model ?? "unknown",
    };
    return new BenchOutput(context, flags, columns, stamp);
  }

  get #format(): BenchFormat {
    return this.#flags.json ? "json" : this.#flags.output;
  }

  /** cells: one text for each column of the table · row: the JSON row */
  add(cells: readonly string[], row: object): void {
    const stamped = { ...this.#stamp, test_time: new Date().toISOString(), ...row };
    this.#cells.push(cells);
    this.#rows.push(stamped);
    const line = `${JSON.stringify(stamped)}\n`;
    this.#append(line);
    if (this.#format === "jsonl") this.#context.io.stdout.write(line);
  }

  #append(line: string): void {
    if (this.#flags.out === undefined || this.#failure !== null) return;
    try {
      appendFileSync(this.#flags.out, line);
    } catch (error) {
      this.#failure = error instanceof Error ? Object.assign(error, { path: this.#flags.out }) : error;
    }
  }

  /**
   * Prints the table, which is held back until the last row is known. `notes` go below it.
   * @throws what writing to `--out` failed of
   */
  end(notes: readonly string[] = []): void {
    const { stdout } = this.#context.io;
    if (this.#format === "json") stdout.write(`${JSON.stringify({ rows: this.#rows })}\n`);
    if (this.#format === "md") {
      stdout.write(markdownTable(this.#columns, this.#cells, tableWidth(stdout)));
      if (notes.length > 0) stdout.write(`\n${notes.join("\n")}\n`);
    }
    if (this.#failure !== null) throw this.#failure;
  }
}

export const left = (title: string): Column => ({ title, align: "left" });
export const right = (title: string): Column => ({ title, align: "right" });
