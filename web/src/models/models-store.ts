/** @file The embedded models that are deployed with the page. */
import type { EmbeddedModel } from "../engine/engine-choice.ts";
import { createStore } from "../ui/store.ts";

export const modelsStore = createStore<readonly EmbeddedModel[]>([]);
