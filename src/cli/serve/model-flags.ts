/** @file What `--model` of `serve` says: one model, or several of which each may have a name. */
import { existsSync } from "node:fs";
import { TurboQuantError } from "../../errors.ts";

export interface WantedModel {
  /** Absent: the one that its files give it. */
  readonly name?: string;
  /** As for `LLM.load`. */
  readonly ref: string;
}

/** `NAME=REF`: names as on the hub; addresses and paths have other characters before the first `=`. */
const NAMED = /^([\w.-]+(?:\/[\w.-]+)?(?::[\w.-]+)?)=(.+)$/;

/** Collects the values of the option; `before` is its default, or those that were given. */
export const collectModels = (text: string, before: string | readonly string[] | undefined): readonly string[] => [
  ...(Array.isArray(before) ? before : []),
  text,
];

/** A file or folder whose path is the whole text is meant by it. */
export function wantedModel(text: string, exists: (path: string) => boolean = existsSync): WantedModel {
  const [, name, ref] = NAMED.exec(text) ?? [];
  return name !== undefined && ref !== undefined && !exists(text) ? { name, ref } : { ref: text };
}

/** @throws TurboQuantError invalid_argument — two have one name */
export function checkNames(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new TurboQuantError(
    "invalid_argument",
    `--model: two models are called ${twice}; give them names: --model NAME=REF`,
  );
}
