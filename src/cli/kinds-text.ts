/** @file A table of what layers keep, by kind. */
import { formatBytes, formatCount, formatRanges } from "../format-number.ts";
import type { CacheKind } from "../plan/cache-kinds.ts";
import { plainTable } from "./format.ts";

/** tokens: of the sequence that the bytes are of */
export function kindsTable(kinds: readonly CacheKind[], tokens: number): string {
  const rows = kinds.map(({ kind, layers, text, format, bytesPerToken, bytes }) => [
    kind,
    formatRanges(layers),
    text,
    format ?? "–",
    bytesPerToken > 0 ? formatCount(bytesPerToken) : "–",
    bytes > 0 ? formatBytes(bytes) : "–",
  ]);
  return plainTable(
    [["kind", "layers", "what a sequence keeps", "format", "bytes/token", `${formatCount(tokens)} tokens`], ...rows],
    ["left", "left", "left", "left", "right", "right"],
  );
}
