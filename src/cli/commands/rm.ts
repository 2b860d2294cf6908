/** @file `turboquant rm`: removes a model from this machine. */
import type { Command } from "commander";
import { formatBytes } from "../../format-number.ts";
import { type Removed, removeModel } from "../../node/shelf/remove-model.ts";
import type { CommandContext } from "../context.ts";

interface RmFlags {
  readonly force?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Removes models from the hub's cache, without asking, and says what became free. org/name stands for all of a repository, " +
        "org/name:Q4_K_M for one file of it. Files that other tools have put there, and models of llama.cpp and Ollama, stay without --force.",
    )
    .argument("<names...>", "as turboquant list prints them")
    .option("--force", "remove other tools' files too")
    .option("--json", "print one JSON object and nothing else on stdout")
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant rm unsloth/Qwen3-0.6B-GGUF:Q8_0
  $ turboquant rm Qwen/Qwen3-0.6B --json`,
    )
    .action((names: readonly string[], flags: RmFlags) => run(names, flags, context));
}

async function run(names: readonly string[], { force = false, json }: RmFlags, { io }: CommandContext): Promise<void> {
  const removed: Removed[] = [];
  for (const name of names) {
    const one = await removeModel(name, force);
    removed.push(one);
    if (!json)
      io.stdout.write(
        `${one.name}: ${one.files} file${one.files === 1 ? "" : "s"} removed, ${formatBytes(one.freedBytes)} free\n`,
      );
  }
  if (json)
    io.stdout.write(
      `${JSON.stringify({ removed, freedBytes: removed.reduce((sum, one) => sum + one.freedBytes, 0) })}\n`,
    );
}
