/** @file The `struct Params` of a kernel as WGSL, from the block that its dispatches are written through. */
import { assert } from "../../../errors.ts";
import { type Struct, wordsOf } from "../../parameters/struct.ts";

/** rowsAt → rows_at */
const wgslName = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/**
 * Fields lie where `Struct` has them: words follow each other in WGSL too, and lists are arrays of vectors, because arrays of
 * uniform blocks have a stride of sixteen bytes.
 */
export function paramsText({ fields, offsets }: Struct): string {
  const lines: string[] = [];
  for (const [name, field] of Object.entries(fields)) {
    const words = wordsOf(field);
    assert(words, `parameter block: ${name} has no counterpart in WGSL`);
    const { type, count, comment } = words;
    assert(
      count === 0 || (count % 4 === 0 && offsets[name]! % 16 === 0),
      `parameter block: ${name}, a list in WGSL, has to begin and to end at a multiple of sixteen bytes`,
    );
    if (comment) lines.push(`  // ${comment}`);
    lines.push(`  ${wgslName(name)}: ${count === 0 ? type : `array<vec4<${type}>, ${count / 4}>`},`);
  }
  return ["struct Params {", ...lines, "}"].join("\n");
}
