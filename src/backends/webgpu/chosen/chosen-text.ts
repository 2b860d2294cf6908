/** @file The unrolled weighted sum of attend-chosen.wgsl. Its other parts are those of attention without subgroups. */
import { type DecodeSides, either, lines, placeText, range, type Stream } from "../attention/attend-text.ts";
import { addText, type PortableShape } from "../attention/portable-text.ts";
import { loadUnits } from "../codec/read-text.ts";

/** Adds the values of the workgroup's tokens, which lie anywhere in the pages, to the sums of the invocation's coordinates. */
export function chosenSum({ group, keyGroups }: PortableShape, sides: DecodeSides): string {
  const sum = (stream: Stream): string => {
    const [layout, use] = stream === "codes" ? [sides.main.v, sides.v] : [sides.residual!.v, sides.ofWindow.v];
    const place = { page: "page_v", head: "kv_head", row: "row_v", unit: "unit" };
    const { lines: loads, units, blocks } = loadUnits(layout, use, place, 1, "v_", sides.arrays[stream]);
    const [block] = blocks;
    return lines([
      placeText(stream, "_v", "key"),
      ...loads,
      ...(block ? [`let block = ${block};`] : []),
      ...range(4).map((i) => `let value${i} = ${units[0]![i]}${block ? " * block" : ""};`),
      ...addText((i) => `value${i}`, "weight", group),
    ]);
  };
  return lines([
    `for (var n = key_group; n < min(THREADS, high - base); n += ${keyGroups}u) {`,
    "let key = tokens[n] >> 1u;",
    ...(sides.residual ? ["let is_residual = (tokens[n] & 1u) != 0u;"] : []),
    "let weight = weights[n];",
    either(sides, sum),
    "}",
  ]);
}
