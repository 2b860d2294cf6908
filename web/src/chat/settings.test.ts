import { expect, it } from "vitest";
import { samplingOf, settingsStore } from "./settings.ts";

const settings = { ...settingsStore.get(), maxNewTokens: 9, temperature: 0.7, seed: 3 };

it("sends of top-p, top-k and min-p what the user has set, and leaves the others to the model", () => {
  const set = samplingOf({ ...settings, topP: 0.9, topK: 40, minP: 0.05 });
  expect(set).toEqual({ maxNewTokens: 9, temperature: 0.7, seed: 3, topP: 0.9, topK: 40, minP: 0.05 });
  expect(samplingOf({ ...settings, topP: null, topK: 0, minP: null })).toEqual({
    ...{ maxNewTokens: 9, temperature: 0.7, seed: 3, topK: 0 },
  });
});

it("draws as the model's makers say where no temperature is set", () => {
  expect(samplingOf({ ...settings, temperature: null, topP: 0.9 })).toEqual({ maxNewTokens: 9 });
});
