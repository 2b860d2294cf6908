/** @file The models that the page offers by itself: embedded ones that are deployed with it, and that of the server it comes from. */
import type { EmbeddedModel } from "../engine/engine-choice.ts";
import { createStore } from "../ui/store.ts";

export const modelsStore = createStore<readonly EmbeddedModel[]>([]);
/** Name of the server's model; empty where there is none. */
export const serverModelStore = createStore("");
