/** @file Settings of sampling. They survive a reload. */
import type { Sampling } from "../engine/protocol.ts";
import { isRecord, readSaved, save } from "../ui/saved.ts";
import { createStore } from "../ui/store.ts";

export interface Settings {
  readonly maxNewTokens: number;
  /** null: the default in the model's generation_config.json. */
  readonly temperature: number | null;
  /** null: a random one for each answer. */
  readonly seed: number | null;
  readonly system: string;
}

const isSettings = (value: unknown): value is Settings =>
  isRecord(value) &&
  typeof value["maxNewTokens"] === "number" &&
  [value["temperature"], value["seed"]].every((number) => number === null || typeof number === "number") &&
  typeof value["system"] === "string";

export const settingsStore = createStore<Settings>(
  readSaved("settings", isSettings) ?? { maxNewTokens: 256, temperature: null, seed: null, system: "" },
);

export function changeSettings(change: Partial<Settings>): void {
  settingsStore.update((settings) => ({ ...settings, ...change }));
  save("settings", settingsStore.get());
}

export function samplingOf({ maxNewTokens, temperature, seed }: Settings): Sampling {
  if (temperature === null) return { maxNewTokens };
  return { maxNewTokens, temperature, seed: seed ?? crypto.getRandomValues(new Uint32Array(1))[0]! };
}
