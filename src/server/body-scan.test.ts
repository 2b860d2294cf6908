/** @file What is too much of a body is seen while it arrives, in pieces of every size. */
import { expect, it } from "vitest";
import { BodyScan } from "./body-scan.ts";

function scanned(text: string, size: number): string | null {
  const bytes = new TextEncoder().encode(text);
  const scan = new BodyScan();
  for (let at = 0; at < bytes.length; at += size) {
    const found = scan.push(bytes.subarray(at, at + size));
    if (found) return found;
  }
  return null;
}

it.each<[string, string, RegExp | null]>([
  ["what clients send", JSON.stringify({ messages: [{ role: "user", content: '[[{{,,::\\"' }] }), null],
  ["brackets and commas in texts", `{"a":"${"[,:{".repeat(1_100_000)}"}`, null],
  ["an escaped quote at the end of a text", `{"a":"${'\\"['.repeat(400)}"}`, null],
  ["lists in lists", "[".repeat(300), /256 levels/],
  ["objects in objects", `${'{"a":'.repeat(300)}`, /256 levels/],
  ["lists one after the other", `[${"[],".repeat(1000)}[]]`, null],
  ["numbers without end", `[${"1,".repeat(1_100_000)}`, /1048576 values/],
  ["names without end", `{${'"a":1,'.repeat(140_000)}`, /131072 members/],
])("%s", (_what, text, expected) => {
  for (const size of [1000, 1 << 16, text.length]) {
    if (expected) expect(scanned(text, size)).toMatch(expected);
    else expect(scanned(text, size)).toBeNull();
  }
});
