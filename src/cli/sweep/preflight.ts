/** @file Checks a sweep before its first run: models, contexts, length of the text. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { TurboQuantError } from "../../errors.ts";
import { textChunks } from "../../eval/text-chunks.ts";
import { openCheckpoint } from "../../formats/open-checkpoint.ts";
import type { Candidate } from "../../lab/candidates.ts";
import { type ModelConfig, parseModelConfig } from "../../models/config.ts";
import { layerKindsOf, layoutOf, numParameters } from "../../models/layout.ts";
import { getPlatform, type OnProgress } from "../../platform.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { loadTokenizer } from "../../tokenizer/tokenizer.ts";
import type { SweepText } from "./task.ts";

/** The folder or .gguf file in the given directory if it is there, otherwise the name as it is. */
export function modelRef(model: string, modelsDirectory: string | undefined): string {
  if (modelsDirectory === undefined) return model;
  const path = join(modelsDirectory, model);
  const isThere = existsSync(model.endsWith(".gguf") ? path : join(path, "config.json")) || hasGguf(path);
  return isThere ? path : model;
}

const hasGguf = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() === true &&
  readdirSync(path).some((file) => file.endsWith(".gguf"));

export interface PreflightOptions {
  readonly refOf: (model: string) => string;
  readonly text: SweepText;
  readonly chunks: number;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

/**
 * Checks every model against the candidates. Weights are not read, but a hub model is downloaded.
 * returns: number of parameters by model
 * @throws TurboQuantError — names what cannot run, and why
 */
export async function preflight(
  candidates: readonly Candidate[],
  options: PreflightOptions,
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const { signal, onProgress } = options;
  for (const model of new Set(candidates.map((candidate) => candidate.model))) {
    const own = candidates.filter((candidate) => candidate.model === model);
    const source = await getPlatform().openSource(options.refOf(model), { signal, onProgress });
    try {
      const checkpoint = await openCheckpoint(source);
      const config = parseModelConfig(await checkpoint.config(), checkpoint.configFile);
      checkConfig(model, config, own);
      const ctx = Math.max(...own.map((candidate) => candidate.ctx));
      if (options.text.kind === "given") {
        checkText(await loadTokenizer(checkpoint.files), options.text.text, ctx, options.chunks, model);
      }
      sizes.set(model, numParameters(layoutOf(config)));
    } finally {
      await source.close();
    }
  }
  return sizes;
}

function checkConfig(model: string, config: ModelConfig, candidates: readonly Candidate[]): void {
  for (const { ctx, kv, part } of candidates) {
    if (ctx > config.maxPositionEmbeddings) {
      throw new TurboQuantError(
        "invalid_argument",
        `sweep, part ${part}: ctx ${ctx}: expected at most ${config.maxPositionEmbeddings} for ${model} (its max_position_embeddings); name shorter contexts`,
        { ctx, model },
      );
    }
    parseKvSpec(kv).forModel(layerKindsOf(layoutOf(config)));
  }
}

function checkText(
  tokenizer: Awaited<ReturnType<typeof loadTokenizer>>,
  text: string,
  ctx: number,
  chunks: number,
  model: string,
): void {
  const got = textChunks(tokenizer, text, ctx, chunks).length;
  if (got >= chunks) return;
  throw new TurboQuantError(
    "invalid_argument",
    `sweep: expected ${chunks} chunks of ${ctx} tokens for ${model}, got ${got} from the text; pass a longer --text, or --chunks ${got}`,
    { chunks, got, ctx },
  );
}
