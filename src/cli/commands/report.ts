/** @file `turboquant report`: turns rows of sweeps and evaluations into a page with figures, tables and a recommendation. */
import { basename } from "node:path";
import type { Command } from "commander";
import { TurboQuantError } from "../../errors.ts";
import { formatBytes, formatCount } from "../../format-number.ts";
import { buildReport } from "../../lab/report/build-report.ts";
import { reportPage } from "../../lab/report/page.ts";
import { writeFileAtomically } from "../../node/write-file-atomically.ts";
import { packageVersion } from "../build-info.ts";
import type { CommandContext } from "../context.ts";
import { checkOutputFile, checkOutputFolder, printedAnyway, writeOutput } from "../output-file.ts";
import { readReportRows } from "../report/read-rows.ts";
import { writePictures } from "../report/write-pictures.ts";

interface ReportFlags {
  readonly out: string;
  readonly images?: string;
  readonly png?: boolean;
  readonly title?: string;
  readonly json?: boolean;
}

const DEFAULT_TITLE = "Which cache does this model survive?";

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Draws stores of `sweep` and JSON lines of `eval --out`: the front of bits against divergence, model size against bits, " +
        "ladders, parameters, contexts, recall, and the smallest format that passes the gates. One HTML file, nothing else needed.",
    )
    .argument("<rows...>", "directories of turboquant sweep, or .jsonl files of turboquant eval --out")
    .option("--out <file>", "where the page goes", "report.html")
    .option("--images <dir>", "also write every figure as SVG, light and dark")
    .option("--png", "with --images: PNG as well (needs @resvg/resvg-js)")
    .option("--title <text>", `heading of the page (default: ${DEFAULT_TITLE})`)
    .option("--json", "print one JSON object and nothing else on stdout")
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant report sweeps/article
  $ turboquant report sweeps/family rows.jsonl --out docs/report.html --images docs/images --png
  $ turboquant eval --text novel.txt --kv k3v3 --ladder --out rows.jsonl && turboquant report rows.jsonl`,
    )
    .action((paths: string[], flags: ReportFlags) => run(paths, flags, context));
}

async function run(paths: readonly string[], flags: ReportFlags, { io }: CommandContext): Promise<void> {
  if (flags.png && flags.images === undefined) {
    throw new TurboQuantError(
      "invalid_argument",
      "--png: expected --images with it; name a directory for the pictures",
    );
  }
  await checkOutputFile("--out", flags.out);
  if (flags.images !== undefined) await checkOutputFolder("--images", flags.images);
  const rows = readReportRows(paths);
  const report = await buildReport(rows, flags.title ?? DEFAULT_TITLE);
  const chosen = report.recommendations.map(({ gate, group, chosen: best, open }) => ({
    model: group.modelLabel,
    gate,
    kv: best?.row.kv ?? null,
    bitsPerValue: best?.row.bitsPerValue ?? null,
    kldMean: best?.row.kldMean ?? null,
    undecided: open.map(({ row }) => row.kv),
  }));
  if (!flags.json) {
    for (const { model, gate, kv, bitsPerValue } of chosen) {
      io.stdout.write(
        `${model}, ${gate}: ${kv === null ? "none of these for sure" : `${kv} (${bitsPerValue!.toFixed(2)} bits)`}\n`,
      );
    }
  }
  const page = reportPage(report, { sources: paths.map((path) => basename(path)), version: packageVersion() });
  const bytes = new TextEncoder().encode(page);
  const { images: folder } = flags;
  const draw = (directory: string) => writePictures(report.figures, directory, flags.png === true);
  let out: string | null = null;
  const write = async (): Promise<readonly string[]> => {
    await writeOutput("--out", flags.out, () => writeFileAtomically(flags.out, bytes));
    out = flags.out;
    return folder === undefined ? [] : await writeOutput("--images", folder, () => draw(folder));
  };
  await printedAnyway(write, (written) => {
    const images = written ?? [];
    if (flags.json) {
      const figures = report.figures.map(({ id, title }) => ({ id, title }));
      io.stdout.write(`${JSON.stringify({ out, rows: rows.length, figures, images, recommendations: chosen })}\n`);
    } else if (out !== null) {
      io.stdout.write(
        `${flags.out}: ${formatCount(report.figures.length)} figures of ${formatCount(rows.length)} rows, ${formatBytes(bytes.length)}` +
          `${images.length > 0 ? `; ${images.length} pictures in ${folder}` : ""}\n`,
      );
    }
  });
}
