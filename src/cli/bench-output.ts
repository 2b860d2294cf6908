/** @file Prints the rows of `bench`: a markdown table for people, JSON lines with llama-bench's field names for scripts. */
import { cpus } from "node:os";
import { type Command, Option } from "commander";
import { AppendedRows } from "./appended-rows.ts";
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
  readonly #appended: AppendedRows;

  private constructor(context: CommandContext, flags: BenchOutputFlags, columns: readonly Column[], stamp: object) {
    this.#context = context;
    this.#flags = flags;
    this.#columns = columns;
    this.#stamp = stamp;
    this.#appended = new AppendedRows(flags.out);
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
    this.#appended.add(stamped);
    if (this.#format === "jsonl") this.#context.io.stdout.write(`${JSON.stringify(stamped)}\n`);
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
    this.#appended.end();
  }
}

export const left = (title: string): Column => ({ title, align: "left" });
export const right = (title: string): Column => ({ title, align: "right" });
