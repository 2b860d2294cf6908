/** @file Formats the result of `turboquant allocate`: sensitivities, candidates, recommendation. */
import type { Allocation } from "../../eval/allocate.ts";
import { significant } from "../../format-number.ts";
import { type Column, formatRate, markdownTable } from "../format.ts";

const right = (title: string): Column => ({ title, align: "right" });

export function allocationReport(
  allocation: Allocation,
  { chunks, verifyChunks }: { readonly chunks: number; readonly verifyChunks: number },
  width = Number.POSITIVE_INFINITY,
): string {
  const { ctx } = allocation.best.row;
  return [
    `divergence of one side of one layer alone, ${chunks} × ${ctx} tokens, and the widths of the best spec\n`,
    layerTable(allocation, width),
    `\nas a whole, on ${allocation.best.row.chunks} × ${ctx} tokens after those (asked for: ${verifyChunks} chunks)\n`,
    candidateTable(allocation, width),
    verdict(allocation),
  ].join("");
}

function layerTable({ attentionLayers, sensitivities, logitNoiseLaw, best, bits }: Allocation, width: number): string {
  const measured = [...new Set(sensitivities.map((s) => s.bits))];
  const shown = measured.reduce((a, b) => (Math.abs(b - bits) < Math.abs(a - bits) ? b : a));
  const alone = (layer: number, side: "k" | "v"): string =>
    significant(sensitivities.find((s) => s.layer === layer && s.side === side && s.bits === shown)!.kldMean);
  return markdownTable(
    ["layer", "K bits", "V bits", `K alone, ${shown} bits`, `V alone, ${shown} bits`, "logit noise, law"].map(right),
    best.layers.map(({ k, v }, index) => {
      const layer = attentionLayers[index]!;
      const cells = [layer, k, v].map(String);
      return [...cells, alone(layer, "k"), alone(layer, "v"), significant(logitNoiseLaw[index]!)];
    }),
    width,
  );
}

function candidateTable({ candidates }: Allocation, width: number): string {
  return markdownTable(
    [
      { title: "widths by", align: "left" },
      { title: "kv", align: "left" },
      ...["bits", "bytes/token", "KLD predicted", "KLD mean", "PPL ratio", "top-1"].map(right),
    ],
    candidates.map(({ origin, kv, bits, bytesPerToken, kldPredicted, row }) => [
      origin,
      kv,
      bits.toFixed(2),
      String(bytesPerToken),
      significant(kldPredicted),
      `${significant(row.kldMean)} ± ${significant(row.kldMeanSe)}`,
      `${row.pplRatio.toFixed(4)} ± ${row.pplRatioSe.toFixed(4)}`,
      formatRate(row.top1, row.top1Low, row.top1High),
    ]),
    width,
  );
}

function verdict({ best, bestUniform, gain }: Allocation): string {
  if (best.origin === "uniform") {
    return `\nuniform widths were best here: nothing to gain from widths per layer at this budget\n--kv ${best.kv}\n`;
  }
  const ratio = (best.row.kldMean / bestUniform.row.kldMean).toFixed(2);
  const isDecided = gain.mean > 2 * gain.standardError;
  return (
    `\n${ratio}× the divergence of ${bestUniform.kv} at no more bytes: ` +
    `${significant(gain.mean)} ± ${significant(gain.standardError)} nats less, paired by token` +
    `${isDecided ? "" : ", which does not decide it; raise --verify-chunks"}\n--kv ${best.kv}\n`
  );
}
