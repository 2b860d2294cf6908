/** @file Prints a memory plan: facts about the model, what fits, and for how long a context. */

import { binarySize, formatBytes, formatCount, significant } from "../format-number.ts";
import type { MemoryPlan, PlannedFormat } from "../plan/memory-plan.ts";
import { planNotes } from "../plan/notes.ts";
import { plainTable } from "./format.ts";
import { headsText } from "./heads-text.ts";
import { kindsTable } from "./kinds-text.ts";

const BAR_CELLS = 20;

export function planText(plan: MemoryPlan): string {
  const notes = planNotes(plan).map(({ text }) => `note: ${text}\n`);
  return [
    head(plan),
    formatTable(plan),
    kindsText(plan),
    `\n${answer(plan)}\n`,
    plan.contexts.length > 0 ? contextTable(plan) : "",
    notes.length > 0 ? `\n${notes.join("")}` : "",
  ].join("");
}

function head(plan: MemoryPlan): string {
  const { model, weights, context, sequences } = plan;
  const [first] = model.layers;
  const heads = first ? `, ${headsText(first)}` : "";
  // Memory for a calibration depends on the format; the line shows the largest.
  const working = formatBytes(
    plan.activationBytes + Math.max(...plan.formats.map(({ workingBytes, hostBytes }) => workingBytes + hostBytes)),
  );
  const capped =
    plan.availableBytes < plan.memoryBytes - plan.reserveBytes
      ? `; ${plan.backend} addresses ${binarySize(plan.availableBytes)} of it`
      : "";
  return plainTable(
    [
      ["model", `${model.name} (${model.modelType}), ${layersText(model)}${heads}`],
      [
        "weights",
        `${formatBytes(weights.bytes)}, ${significant(weights.parameters / 1e6)} M parameters in ${weights.type}`,
      ],
      [
        "memory",
        `${formatBytes(plan.memoryBytes)}, ${formatBytes(plan.reserveBytes)} of it for the system (--reserve)${capped}`,
      ],
      ["load", `${formatCount(sequences)} sequence${sequences === 1 ? "" : "s"} of ${formatCount(context)} tokens`],
      ["besides", `${working} of activations and scratch memory (${plan.backend})`],
    ],
    ["left", "left"],
  );
}

function layersText({ layers, numLayers = layers.length }: MemoryPlan["model"]): string {
  return layers.length === numLayers ? `${numLayers} layers` : `${numLayers} layers, ${layers.length} with K and V`;
}

function formatTable(plan: MemoryPlan): string {
  const rows = plan.formats.map((format) => [
    format.kv,
    format.bitsPerValue.toFixed(2),
    formatCount(format.bytesPerToken),
    formatBytes(format.cacheBytes),
    formatBytes(format.totalBytes),
    bar(plan, format),
    format.fits ? formatBytes(format.freeBytes) : "no",
    format.longestContext > 0 ? formatCount(format.longestContext) : "none",
    formatCount(format.mostSequences),
  ]);
  const titles = [
    "kv",
    "bits/value",
    "B/token",
    "cache",
    "total",
    "█ weights ▒ cache",
    "free",
    "longest context",
    "sequences",
  ];
  return `\n${plainTable([titles, ...rows], ["left", "right", "right", "right", "right", "left", "right", "right", "right"])}`;
}

/** A bar of the memory: weights and everything else. An arrow at its end means that it does not fit. */
function bar({ weights, availableBytes }: MemoryPlan, { totalBytes }: PlannedFormat): string {
  const cells = (bytes: number): number => Math.min(BAR_CELLS, Math.round((bytes / availableBytes) * BAR_CELLS));
  const solid = cells(weights.bytes);
  const text = "█".repeat(solid) + "▒".repeat(cells(totalBytes) - solid);
  return totalBytes > availableBytes ? `${text.slice(0, -1)}→` : text.padEnd(BAR_CELLS, "·");
}

/** Of the format that the answer names, where layers differ in what they keep. */
function kindsText({ best, formats, context }: MemoryPlan): string {
  const { kv, kinds } = best ?? formats.at(-1)!;
  return kinds.length > 1 ? `\none sequence in ${kv}, by kind of layer\n${kindsTable(kinds, context)}` : "";
}

function answer(plan: MemoryPlan): string {
  const { best, context, sequences, formats } = plan;
  const load = `${sequences === 1 ? "" : `${formatCount(sequences)} × `}${formatCount(context)} tokens`;
  if (best) {
    const ask = best.kv === "f16" ? "" : `; \`turboquant recommend\` measures whether the model is intact with it`;
    return `Fits: ${best.kv} has most bits of those that hold ${load}, and leaves ${formatBytes(best.freeBytes)}${ask}.`;
  }
  const smallest = formats.at(-1)!;
  const longest = formats.reduce((a, b) => (b.longestContext > a.longestContext ? b : a));
  const ways =
    longest.longestContext > 0
      ? `a shorter context (${longest.kv} holds ${formatCount(longest.longestContext)} tokens)`
      : "a smaller model";
  return `Does not fit: ${load} need ${formatBytes(smallest.totalBytes)} even with ${smallest.kv}. Try ${ways}, weights of fewer bytes (--weights q8), or more memory.`;
}

function contextTable({ contexts, formats }: MemoryPlan): string {
  const head = ["tokens", ...formats.map(({ kv }) => kv)];
  const rows = contexts.map(({ context, formats: cells }) => [
    formatCount(context),
    ...cells.map(({ totalBytes, fits }) => `${formatBytes(totalBytes)} ${fits ? "✓" : "✗"}`),
  ]);
  return `\nweights, cache and the rest; ✓ fits\n${plainTable(
    [head, ...rows],
    head.map(() => "right"),
  )}`;
}
