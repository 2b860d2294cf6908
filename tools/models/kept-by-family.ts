/** @file What the layers of each family keep of a sequence, read off the small models in test/fixtures/architectures, and where it was proven right. */
import { readdirSync, readFileSync } from "node:fs";
import { backendNames, backendOf } from "../../src/backends/registry.ts";
import type { Block } from "../../src/models/blocks/block.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { layoutOf } from "../../src/models/layout.ts";
import { families } from "../../src/models/registry.ts";
import { provenOn } from "./proven.ts";

/** Kinds of what a layer keeps, with what they are compressed to. */
export const KEPT = {
  all: ["K and V of all tokens", "codes"],
  window: ["K and V of a window", "codes"],
  latent: ["latent row of K and V", "codes"],
  index: ["keys of an indexer", "codes"],
  state: ["state of fixed size", "f32"],
  shared: ["another layer's", "nothing"],
} as const;
type Kind = keyof typeof KEPT;

/** Model types that Transformers has no class for, and the one whose models they are. */
const OTHER_NAMES: Readonly<Record<string, string>> = { kimi_k2: "deepseek_v3" };

export interface KeptByFamily {
  readonly modelType: string;
  readonly kinds: ReadonlySet<Kind>;
  /** Why it was not proven right on a backend; null where it was. */
  readonly lacks: ReadonlyMap<string, string | null>;
}

function kindOf({ state }: Block): Kind | null {
  switch (state?.kind) {
    case undefined:
      return null;
    case "shared":
      return "shared";
    case "recurrent":
      return "state";
    case "kv":
      if (state.isIndex) return "index";
      if (state.rotaryKeyDim || state.isOneRow) return "latent";
      return state.slidingWindow > 0 ? "window" : "all";
  }
}

/** In the order of the registry. */
export function keptByFamily(): KeptByFamily[] {
  const folder = new URL("../../test/fixtures/architectures/", import.meta.url);
  const configs = readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .map(
      (file) => (JSON.parse(readFileSync(new URL(file, folder), "utf8")) as { config: { model_type: string } }).config,
    );
  return families.map(({ modelType }) => {
    const own = configs.filter(({ model_type }) => model_type === (OTHER_NAMES[modelType] ?? modelType));
    const blocks = own.flatMap((json) =>
      layoutOf(parseModelConfig({ ...json, model_type: modelType }, modelType)).layers.flatMap((branches) =>
        branches.map(({ block }) => block),
      ),
    );
    const needs = blocks.flatMap((block) => block.needs ?? []);
    const widest = Math.max(0, ...blocks.map(({ state }) => (state?.kind === "kv" ? state.headDim : 0)));
    const lackOn = (name: string) => {
      const { capabilities } = backendOf(name);
      if (capabilities.maxHeadDim < widest) return "no kernels for heads as long";
      if (needs.includes("compressesTokens") && !capabilities.compressesTokens)
        return "no kernels for rows of several tokens";
      if (needs.includes("choosesTokens") && !capabilities.choosesTokens) return "no kernels for chosen tokens";
      return provenOn(name)?.has(OTHER_NAMES[modelType] ?? modelType) === false ? "not yet run" : null;
    };
    return {
      modelType,
      kinds: new Set(blocks.flatMap((block) => kindOf(block) ?? [])),
      lacks: new Map(backendNames().map((name) => [name, lackOn(name)])),
    };
  });
}
