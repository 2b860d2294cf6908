/** @file Reads generation_config.json: which tokens end a generation, and the model's sampling defaults. config.json fills gaps. */
import { TurboQuantError } from "../errors.ts";
import type { FileSource } from "./file-source.ts";
import { type JsonObject, readJsonObject } from "./json-file.ts";

/** Sampling defaults in the file; for absent fields the engine has its own. */
export interface SamplingDefaults {
  /** 0 (greedy) when the file says `do_sample: false`. */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
}

export interface GenerationConfig {
  /** Each of these tokens ends a generation. */
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | null;
  readonly padTokenId: number | null;
  readonly sampling: SamplingDefaults;
}

/** Token ids of config.json, used where generation_config.json has none. */
export interface TokenDefaults {
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | null;
  readonly padTokenId: number | null;
}

const FILE = "generation_config.json";

/** Token ids of a field: a number or a list; −1 is how some files write none. null for anything else. */
export function tokenIdsOf(value: unknown): number[] | null {
  if (value === -1) return [];
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  return ids.every((id) => Number.isInteger(id) && (id as number) >= 0) ? (ids as number[]) : null;
}

/**
 * A missing file gives the defaults.
 * @throws TurboQuantError invalid_file — a field of a wrong type or out of range
 */
export async function loadGenerationConfig(source: FileSource, config: TokenDefaults): Promise<GenerationConfig> {
  const json = (await source.has(FILE)) ? await readJsonObject(source, FILE) : {};
  return parseGenerationConfig(json, config, `${source.name}/${FILE}`);
}

export function parseGenerationConfig(json: JsonObject, config: TokenDefaults, fileName: string): GenerationConfig {
  const invalid = (field: string, expected: string) =>
    new TurboQuantError(
      "invalid_file",
      `${fileName}: ${field}: expected ${expected}, got ${JSON.stringify(json[field])?.slice(0, 80)}; correct the file or download it again`,
      { file: fileName, field },
    );
  const tokens = (field: string): readonly number[] | undefined => {
    const value = json[field] ?? undefined;
    if (value === undefined) return undefined;
    const ids = tokenIdsOf(value);
    if (!ids) throw invalid(field, "a token id or a list of them");
    return ids;
  };
  const number = (field: string, min: number, max: number): number | undefined => {
    const value = json[field] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !(value >= min && value <= max))
      throw invalid(field, `a number from ${min} to ${max}`);
    return value;
  };
  const doSample = json["do_sample"] ?? null;
  if (doSample !== null && typeof doSample !== "boolean") throw invalid("do_sample", "true or false");
  // Fields are checked even if they are not used: a file with one wrong field may have others.
  const read = {
    temperature: number("temperature", 0, 100) ?? 1,
    topK: number("top_k", 0, 2 ** 24),
    topP: number("top_p", 0, 1),
    minP: number("min_p", 0, 1),
    repetitionPenalty: number("repetition_penalty", 1e-3, 1e3),
  };
  // Without do_sample, Transformers decodes greedily whatever temperature, top_k, top_p and min_p are.
  const { repetitionPenalty } = read;
  const used = doSample ? read : doSample === false ? { temperature: 0, repetitionPenalty } : { repetitionPenalty };
  const eos = tokens("eos_token_id");
  return {
    eosTokenIds: [...new Set(eos ?? config.eosTokenIds)],
    bosTokenId: tokens("bos_token_id")?.[0] ?? config.bosTokenId,
    padTokenId: tokens("pad_token_id")?.[0] ?? config.padTokenId,
    sampling: Object.fromEntries(Object.entries(used).filter(([, value]) => value !== undefined)),
  };
}
