/** @file `turboquant pull`: brings a model from the hub into the cache. */
import type { Command } from "commander";
import { TurboQuantError } from "../../errors.ts";
import { formatBytes } from "../../format-number.ts";
import { type HubId, parseHubId } from "../../formats/hub-id.ts";
import { hubEndpoint, hubSettings } from "../../node/hub/hub-settings.ts";
import { type PulledModel, pullModel } from "../../node/hub/pull-model.ts";
import { embeddedModelDirectory } from "../../node/package-root.ts";
import { type CommandContext, progressOf } from "../context.ts";
import type { OutputFlags } from "../options.ts";

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Downloads a model from the Hugging Face Hub into the cache that its tools share, or what is missing of it, or a newer " +
        "revision. After a stop the same command goes on where it was. --model of every command takes the same names, and pulls " +
        "what is not there.",
    )
    .argument(
      "<name>",
      "org/name of a safetensors repository; org/name:Q4_K_M, org/name:file.gguf of GGUF files; or the address",
    )
    .option("--json", "print one JSON object and nothing else on stdout")
    .option("--quiet", "no progress and no notes on stderr")
    .addHelpText(
      "after",
      `
Without a quantization a repository's safetensors are taken, else Q4_K_M, else the kind nearest to it in size.
A revision (branch, tag, commit) is named org/name@revision.

Environment: HF_HOME, HF_HUB_CACHE (where to), HF_TOKEN, HF_ENDPOINT (another hub), HF_HUB_OFFLINE.

Examples:
  $ turboquant pull Qwen/Qwen3-0.6B
  $ turboquant pull unsloth/Qwen3-0.6B-GGUF:Q4_K_M
  $ turboquant pull https://huggingface.co/ggml-org/models/resolve/main/tinyllamas/stories15M-q4_0.gguf`,
    )
    .action((name: string, flags: OutputFlags) => run(name, flags, context));
}

async function run(name: string, flags: OutputFlags, context: CommandContext): Promise<void> {
  const { io, signal } = context;
  const id = hubIdOf(name);
  const settings = await hubSettings();
  if (settings.isOffline) {
    throw new TurboQuantError(
      "invalid_argument",
      "pull: HF_HUB_OFFLINE is set; unset it, so that the hub may be asked",
    );
  }
  const progress = progressOf(context, flags);
  const note = (text: string): void => {
    progress.clear();
    if (!flags.quiet) io.stderr.write(`${text}\n`);
  };
  let pulled: PulledModel;
  try {
    pulled = await pullModel(id, { settings, signal, onProgress: progress.onEvent, onNote: note });
  } catch (error) {
    if (signal.aborted) note("stopped; the same command goes on from here");
    throw error;
  } finally {
    progress.clear();
  }
  const { files, ...rest } = pulled;
  io.stdout.write(flags.json ? `${JSON.stringify({ ...rest, files })}\n` : textOf(pulled));
}

/** @throws TurboQuantError invalid_argument — it is not the name of a model on the hub */
function hubIdOf(name: string): HubId {
  if (embeddedModelDirectory(name)) {
    throw new TurboQuantError(
      "invalid_argument",
      `pull: ${name} is part of this package; use it as it is: --model ${name}`,
    );
  }
  const id = parseHubId(name, hubEndpoint());
  if (id) return id;
  throw new TurboQuantError(
    "invalid_argument",
    `pull: expected a name on the hub (org/name, org/name:Q4_K_M) or its address, got "${name}"; check it`,
    { name },
  );
}

function textOf({ name, bytes, downloadedBytes, commit, directory, weights }: PulledModel): string {
  const news = downloadedBytes > 0 ? `${formatBytes(downloadedBytes)} of them new` : "all there already";
  return `${name}  ${formatBytes(bytes)}, ${news}, revision ${commit.slice(0, 12)}\n${directory}${weights ? `/${weights}` : ""}\n`;
}
