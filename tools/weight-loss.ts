/**
 * @file What weight formats cost: `npx tsx tools/weight-loss.ts MODEL [--text FILE] [--ctx N] [--chunks N] [TYPE…]` compares a
 * model's logits with its weights as stored and kept in other formats, over an f16 cache; `npx tsx tools/weight-loss.ts formats`
 * compares the values of each block format with those that kernels compute with. The numbers of docs/weights.md.
 */
import { readFileSync } from "node:fs";
import "../src/node/install.ts";
import { agreements, compareOnTokens, emptyRecord, makeContender } from "../src/eval/compare.ts";
import { mean } from "../src/eval/divergence.ts";
import { perplexity } from "../src/eval/perplexity.ts";
import { writeSelfText } from "../src/eval/self-text.ts";
import { textChunks } from "../src/eval/text-chunks.ts";
import { LLM } from "../src/index.ts";
import { type WeightType, weightFormat } from "../src/weights/registry.ts";
import { keptValues } from "../src/weights/weight-part.ts";
import { readCommandLine } from "./command-line.ts";

const FIXTURE = new URL("../test/fixtures/ggml-blocks/blocks.json", import.meta.url);

/** ‖kept − stored‖ / ‖stored‖ of the random blocks that tests read. */
function formats(): void {
  const blocks: Record<string, { stored: string; values: string }> = JSON.parse(readFileSync(FIXTURE, "utf8"));
  console.log("| stored | computed as | relative error |\n| --- | --- | ---: |");
  for (const [name, { stored, values }] of Object.entries(blocks)) {
    const expected = new Float32Array(Uint8Array.from(Buffer.from(values, "base64")).buffer);
    const data = Uint8Array.from(Buffer.from(stored, "base64"));
    const type = (weightFormat(name).keptAs?.type ?? name) as WeightType;
    const kept = keptValues([{ dtype: name as WeightType, rows: 1, cols: expected.length, data }], type).data;
    const norm = (of: (value: number, i: number) => number): number =>
      Math.sqrt(expected.reduce((sum, value, i) => sum + of(value, i) ** 2, 0));
    const error = norm((value, i) => kept[i]! - value) / norm((value) => value);
    console.log(`| ${name} | ${type} | ${error === 0 ? "0" : error.toExponential(1)} |`);
  }
}

async function model(ref: string, types: readonly WeightType[], file: string | undefined, ctx: number, chunks: number) {
  const load = (weights: WeightType | "auto"): Promise<LLM> => LLM.load(ref, { kv: "f16", weights, backend: "wasm" });
  await using base = await load("auto");
  const text = file ? readFileSync(file, "utf8") : await writeSelfText(base, { tokens: ctx * chunks, seed: 1 });
  const parts = textChunks(base.tokenizer, text, ctx, chunks);
  console.log(`${base.name}, ${parts.length} × ${ctx} tokens of ${file ?? "a text it wrote"}\n`);
  console.log("| weights | perplexity | KLD | same token | bytes |\n| --- | ---: | ---: | ---: | ---: |");
  for (const type of types) {
    await using other = await load(type);
    const [first, own] = [emptyRecord(), emptyRecord()];
    const [from, to] = [base, other].map(({ runner }) => makeContender(runner.decoder, ctx)) as [never, never];
    for (const part of parts) await compareOnTokens(part, from, first, [to], [own]);
    const row = (name: string, nlls: number[], kld: string, same: string, bytes: number): void =>
      console.log(`| ${name} | ${perplexity(nlls).toFixed(3)} | ${kld} | ${same} | ${bytes} |`);
    if (type === types[0]) row("as stored", first.nlls, "0", "100 %", base.runner.decoder.weightBytes);
    const same = `${((100 * agreements(own)) / own.klds.length).toFixed(1)} %`;
    row(type, own.nlls, mean(own.klds).toFixed(5), same, other.runner.decoder.weightBytes);
  }
}

const { values, positionals } = readCommandLine({
  allowPositionals: true,
  options: { text: { type: "string" }, ctx: { type: "string" }, chunks: { type: "string" } },
});
const [what = "qwen3-3m", ...types] = positionals;
if (what === "formats") formats();
else {
  const own = (types.length > 0 ? types : ["q8", "q4"]) as WeightType[];
  await model(what, own, values.text, Number(values.ctx ?? 1024), Number(values.chunks ?? 6));
}
