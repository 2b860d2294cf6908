/** @file Bytes in closed form against sequences that really grow, over one config of each architecture. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseModelConfig } from "../models/config.ts";
import { layoutOf, stateShapes } from "../models/layout.ts";
import { supportedTypes } from "../models/registry.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { allocatedBytes, growingSequence } from "./allocated-bytes.ts";

const FOLDER = new URL("../../test/fixtures/architectures/", import.meta.url);
const supported = new Set(supportedTypes());
const configs = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".json"))
  .map((file) => [file.slice(0, -5), JSON.parse(readFileSync(new URL(file, FOLDER), "utf8")).config] as const)
  .filter(([, { model_type: type }], i, all) => supported.has(type) && type !== all[i - 1]?.[1].model_type);
const WHOLE = ["f16", "k3v3,sinks=17,window=1,window=16bit"];
/** The last tier is for want of memory, which is never short here. */
const TIERS = "tiers=8:70,4:200,3:auto,2";
const LENGTHS = [0, 145, 500];

it.each(configs)("%s", (_name, json) => {
  const config = parseModelConfig(json, "config.json");
  const hasTiers = stateShapes(layoutOf(config)).every(
    ({ shape }) => shape.kind !== "kv" || !(shape.isOneRow || shape.rotaryKeyDim),
  );
  for (const spec of [...WHOLE, ...(hasTiers ? [TIERS] : [])].map(parseKvSpec)) {
    const grow = growingSequence(config, spec);
    for (const tokens of LENGTHS) {
      expect(allocatedBytes(config, spec, tokens), `${spec.text}, ${tokens} tokens`).toBe(grow(tokens).numBytes);
    }
  }
});

it("a length that no memory holds takes no longer", () => {
  const json = configs.find(([, { model_type: type }]) => type === "llama")![1];
  const config = parseModelConfig(json, "config.json");
  const spec = parseKvSpec("f16");
  // All pages are full, so bytes grow with the tokens.
  expect(allocatedBytes(config, spec, 2 ** 40)).toBe(2 ** 30 * allocatedBytes(config, spec, 2 ** 10));
});
