/** @file Prints a memory plan: facts about the model, what fits, and for how long a context. */

import { binarySize, formatBytes, formatCount, significant } from "../format-number.ts";
import type { MemoryPlan, PlannedFormat } from "../plan/memory-plan.ts";
import { planNotes } from "../plan/notes.ts";
import { type Align, plainTable } from "./format.ts";
import { headsText } from "./heads-text.ts";
import { kindsTable } from "./kinds-text.ts";

const BAR_CELLS = 20;

/** width: characters of a line; tables that are wider leave columns out, or are turned */
export function planText(plan: MemoryPlan, width = Number.POSITIVE_INFINITY): string {
  const notes = planNotes(plan).map(({ text }) => `note: ${text}\n`);
  return [
    head(plan),
    formatTable(plan, width),
    kindsText(plan, width),
    `\n${answer(plan)}\n`,
    plan.contexts.length > 0 ? contextTable(plan, width) : "",
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

/** Columns in the order in which a narrow terminal goes without them; those that are not named stay. */
const SPARED = ["bar", "perToken", "total", "sequences", "cache"] as const;

function formatTable(plan: MemoryPlan, width: number): string {
  const columns: {
    title: string;
    align: Align;
    spared?: (typeof SPARED)[number];
    of(format: PlannedFormat): string;
  }[] = [
    { title: "kv", align: "left", of: ({ kv }) => kv },
    { title: "bits/value", align: "right", of: ({ bitsPerValue }) => bitsPerValue.toFixed(2) },
    { title: "B/token", align: "right", spared: "perToken", of: ({ bytesPerToken }) => formatCount(bytesPerToken) },
    { title: "cache", align: "right", spared: "cache", of: ({ cacheBytes }) => formatBytes(cacheBytes) },
    { title: "total", align: "right", spared: "total", of: ({ totalBytes }) => formatBytes(totalBytes) },
    { title: "█ weights ▒ cache", align: "left", spared: "bar", of: (format) => bar(plan, format) },
    { title: "free", align: "right", of: ({ fits, freeBytes }) => (fits ? formatBytes(freeBytes) : "no") },
    {
      title: "longest context",
      align: "right",
      of: ({ longestContext }) => (longestContext > 0 ? formatCount(longestContext) : "none"),
    },
    {
      title: "sequences",
      align: "right",
      spared: "sequences",
      of: ({ mostSequences }) => formatCount(mostSequences),
    },
  ];
  for (let leftOut = 0; ; leftOut++) {
    const without: readonly (string | undefined)[] = SPARED.slice(0, leftOut);
    const shown = columns.filter(({ spared }) => spared === undefined || !without.includes(spared));
    const rows = [shown.map(({ title }) => title), ...plan.formats.map((format) => shown.map(({ of }) => of(format)))];
    const text = plainTable(
      rows,
      shown.map(({ align }) => align),
    );
    if (leftOut === SPARED.length || widest(text) <= width) return `\n${text}`;
  }
}

const widest = (text: string): number => Math.max(...text.split("\n").map((line) => line.length));

/** A bar of the memory: weights and everything else. An arrow at its end means that it does not fit. */
function bar({ weights, availableBytes }: MemoryPlan, { totalBytes }: PlannedFormat): string {
  const cells = (bytes: number): number => Math.min(BAR_CELLS, Math.round((bytes / availableBytes) * BAR_CELLS));
  const solid = cells(weights.bytes);
  const text = "█".repeat(solid) + "▒".repeat(cells(totalBytes) - solid);
  return totalBytes > availableBytes ? `${text.slice(0, -1)}→` : text.padEnd(BAR_CELLS, "·");
}

/** Of the format that the answer names, where layers differ in what they keep. */
function kindsText({ best, formats, context }: MemoryPlan, width: number): string {
  const { kv, kinds } = best ?? formats.at(-1)!;
  return kinds.length > 1 ? `\none sequence in ${kv}, by kind of layer\n${kindsTable(kinds, context, width)}` : "";
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

function contextTable({ contexts, formats }: MemoryPlan, width: number): string {
  const head = ["tokens", ...formats.map(({ kv }) => kv)];
  const rows = contexts.map(({ context, formats: cells }) => [
    formatCount(context),
    ...cells.map(({ totalBytes, fits }) => `${formatBytes(totalBytes)} ${fits ? "✓" : "✗"}`),
  ]);
  const table = (lines: readonly (readonly string[])[]): string =>
    plainTable(
      lines,
      lines[0]!.map(() => "right"),
    );
  const wide = table([head, ...rows]);
  const turned = head.map((title, i) => [title, ...rows.map((row) => row[i]!)]);
  return `\nweights, cache and the rest; ✓ fits\n${widest(wide) <= width ? wide : table(turned)}`;
}
