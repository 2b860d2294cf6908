/** @file A table of what layers keep, by kind. */
import { formatBytes, formatCount, formatRanges } from "../format-number.ts";
import type { CacheKind } from "../plan/cache-kinds.ts";
import { titledTable } from "./format.ts";

/** tokens: of the sequence that the bytes are of · width: characters of a line */
export function kindsTable(kinds: readonly CacheKind[], tokens: number, width = Number.POSITIVE_INFINITY): string {
  const rows = kinds.map(({ kind, layers, text, format, bytesPerToken, bytes }) => [
    kind,
    formatRanges(layers),
    text,
    format ?? "–",
    bytesPerToken > 0 ? formatCount(bytesPerToken) : "–",
    bytes > 0 ? formatBytes(bytes) : "–",
  ]);
  return titledTable(
    [["kind", "layers", "what a sequence keeps", "format", "bytes/token", `${formatCount(tokens)} tokens`], ...rows],
    ["left", "left", "left", "left", "right", "right"],
    width,
  );
}
