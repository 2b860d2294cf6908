/** @file `turboquant list`: the models on this machine. */
import type { Command } from "commander";
import { formatBytes } from "../../format-number.ts";
import { hubCacheDirectory } from "../../node/hub/hub-settings.ts";
import { listShelf } from "../../node/shelf/shelf.ts";
import type { ShelfEntry } from "../../node/shelf/shelf-entry.ts";
import type { CommandContext } from "../context.ts";
import { plainTable } from "../format.ts";

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Lists the models on this machine by the names that --model takes: of this package, of the cache that the hub's tools share, " +
        "of llama.cpp's own cache and of Ollama.",
    )
    .option("--json", "print one JSON object and nothing else on stdout")
    .addHelpText(
      "after",
      `
Environment: HF_HOME, HF_HUB_CACHE, LLAMA_CACHE, OLLAMA_MODELS.

Examples:
  $ turboquant list
  $ turboquant list --json`,
    )
    .action((flags: { readonly json?: boolean }) => run(flags.json === true, context));
}

async function run(isJson: boolean, { io }: CommandContext): Promise<void> {
  const models = await listShelf();
  const cache = hubCacheDirectory();
  const json = () => models.map((model) => ({ ...model, modified: new Date(model.modified).toISOString() }));
  io.stdout.write(isJson ? `${JSON.stringify({ cache, models: json() })}\n` : textOf(models, cache));
}

const ORIGINS: Readonly<Record<ShelfEntry["origin"], string>> = {
  package: "this package",
  hub: "hub",
  "llama.cpp": "llama.cpp",
  ollama: "Ollama",
};

function textOf(models: readonly ShelfEntry[], cache: string): string {
  const rows = models.map(({ name, format, quant, bytes, origin, modified, isWhole }) => [
    name,
    isWhole ? (quant ?? format) : "unfinished",
    formatBytes(bytes),
    new Date(modified).toISOString().slice(0, 10),
    ORIGINS[origin],
  ]);
  const table = plainTable(
    [["model", "format", "size", "since", "from"], ...rows],
    ["left", "left", "right", "left", "left"],
  );
  const own = models.filter(({ origin }) => origin === "hub").reduce((sum, { bytes }) => sum + bytes, 0);
  return `${table}\n${cache}: ${formatBytes(own)}\n`;
}
