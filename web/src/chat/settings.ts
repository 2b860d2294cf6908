/** @file Settings of sampling, and the system message of new conversations. They survive a reload. */
import type { Sampling } from "../engine/protocol.ts";
import { isRecord, readSaved, save } from "../ui/saved.ts";
import { createStore } from "../ui/store.ts";

export interface Settings {
  readonly maxNewTokens: number;
  /** null: the default in the model's generation_config.json, for which tokens are cut off as well. */
  readonly temperature: number | null;
  /** These three cut off unlikely tokens; null: as the model's generation_config.json says. */
  readonly topP: number | null;
  readonly topK: number | null;
  readonly minP: number | null;
  /** null: a random one for each answer. */
  readonly seed: number | null;
  /** Of new conversations. */
  readonly system: string;
}

const DEFAULTS: Settings = {
  ...{ maxNewTokens: 256, temperature: null, topP: null, topK: null, minP: null, seed: null },
  system: "",
};
const NUMBERS = ["temperature", "topP", "topK", "minP", "seed"] as const;

/** Earlier pages have saved fewer of them. */
const isSaved = (value: unknown): value is Partial<Settings> =>
  isRecord(value) &&
  ["undefined", "number"].includes(typeof value["maxNewTokens"]) &&
  NUMBERS.every((name) => value[name] === null || ["undefined", "number"].includes(typeof value[name])) &&
  ["undefined", "string"].includes(typeof value["system"]);

export const settingsStore = createStore<Settings>({ ...DEFAULTS, ...readSaved("settings", isSaved) });

export function changeSettings(change: Partial<Settings>): void {
  settingsStore.update((settings) => ({ ...settings, ...change }));
  save("settings", settingsStore.get());
}

export function samplingOf({ maxNewTokens, temperature, topP, topK, minP, seed }: Settings): Sampling {
  if (temperature === null) return { maxNewTokens };
  return {
    ...{ maxNewTokens, temperature, seed: seed ?? crypto.getRandomValues(new Uint32Array(1))[0]! },
    ...(topP !== null && { topP }),
    ...(topK !== null && { topK }),
    ...(minP !== null && { minP }),
  };
}
