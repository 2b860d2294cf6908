/** @file Writes KV specs with different widths for layers and sides, as short as the syntax allows. */
import { TurboQuantError } from "../errors.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";

/** Widths of K and V in one layer, in bits. */
export interface LayerBits {
  readonly k: number;
  readonly v: number;
}

/** A `kNvM` preset with modifiers other than types. */
export interface Recipe {
  readonly bits: LayerBits;
  readonly modifiers: readonly string[];
}

/** @throws TurboQuantError invalid_argument — anything but a `kNvM` preset with one width for each side */
export function parseRecipe(spec: string): Recipe {
  const [preset, ...modifiers] = parseKvSpec(spec).text.split(",") as [string, ...string[]];
  const match = /^k([1-8])v([1-8])$/.exec(preset);
  const typed = modifiers.find((modifier) => /^(k|v|layers)=/.test(modifier));
  if (!match || typed) {
    throw new TurboQuantError(
      "invalid_argument",
      `--kv ${spec}: expected a kNvM preset and modifiers of the recipe (sinks=, window=, scale= …), got ${typed ?? preset}; the widths of the layers are what is looked for`,
      { spec },
    );
  }
  return { bits: { k: Number(match[1]), v: Number(match[2]) }, modifiers };
}

/** For example `k4v4,layers=0:k8v6+3-5:k3v4,window=0`: the commonest pair of widths is the preset, the others are ranges. */
export function specOf({ modifiers }: Pick<Recipe, "modifiers">, layers: readonly LayerBits[]): string {
  const pairs = layers.map(({ k, v }) => `k${k}v${v}`);
  const count = (pair: string): number => pairs.filter((other) => other === pair).length;
  const common = pairs.reduce((best, pair) => (count(pair) > count(best) ? pair : best), pairs[0]!);
  const ranges: string[] = [];
  for (let first = 0; first < pairs.length; ) {
    let last = first;
    while (pairs[last + 1] === pairs[first]) last++;
    if (pairs[first] !== common) ranges.push(`${first === last ? first : `${first}-${last}`}:${pairs[first]}`);
    first = last + 1;
  }
  const parts = ranges.length > 0 ? [`layers=${ranges.join("+")}`, ...modifiers] : modifiers;
  return parseKvSpec([common, ...parts].join(",")).text;
}

/** A spec that keeps everything in f16 except one side of one layer. */
export function specOfOne({ modifiers }: Recipe, layer: number, side: "k" | "v", bits: number): string {
  return [`k${bits}v${bits}`, "k=f16", "v=f16", ...modifiers, `layers=${layer}:${side}${bits}`].join(",");
}
