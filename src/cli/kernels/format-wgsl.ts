/** @file Formats WGSL for people: indentation by brackets, long lines broken, blank lines between declarations. */

const WIDTH = 120;
const INDENT = "  ";
/** Matches lines that begin a declaration. */
const DECLARATION = /^(fn|struct|@compute)\b/;
const CLOSERS = ")]}";
const OPENERS = "([{";

/** Index at which a line's comment begins, or the length of the line. */
function commentAt(line: string): number {
  const at = line.indexOf("//");
  return at < 0 ? line.length : at;
}

/** The number of brackets that a line opens minus those it closes. */
function depthChange(line: string): number {
  let change = 0;
  for (const char of line.slice(0, commentAt(line))) {
    if (OPENERS.includes(char)) change++;
    else if (CLOSERS.includes(char)) change--;
  }
  return change;
}

/** Number of closing brackets at the start of a line. `<` does not count, since it is also WGSL's comparison operator. */
function closersFirst(line: string): number {
  let count = 0;
  while (CLOSERS.includes(line[count] ?? "-")) count++;
  return count;
}

/**
 * Places where a line may be broken: after a comma, or before an
 * operator with spaces around it, each with the number of open brackets.
 */
function breaks(line: string): { readonly at: number; readonly depth: number }[] {
  const found: { at: number; depth: number }[] = [];
  let depth = 0;
  for (let at = 0; at < commentAt(line); at++) {
    const char = line[at]!;
    if (OPENERS.includes(char)) depth++;
    else if (CLOSERS.includes(char)) depth--;
    else if (char === " " && line[at - 1] === ",") found.push({ at: at + 1, depth });
    else if (/^ (\+|-|\*|\||&|\|\||&&|>>|<<) /.test(line.slice(at, at + 4))) found.push({ at: at + 1, depth });
  }
  return found;
}

/** Breaks a line that is too long at the last fitting place among those with the fewest open brackets. */
function breakLine(line: string, indent: string, restIndent = `${indent}${INDENT}`): string[] {
  const room = WIDTH - indent.length;
  if (line.length <= room || line.startsWith("//")) return [indent + line];
  const fitting = breaks(line).filter(({ at }) => at > 0 && at <= room);
  if (fitting.length === 0) return [indent + line];
  const least = Math.min(...fitting.map(({ depth }) => depth));
  const { at } = fitting.filter(({ depth }) => depth === least).at(-1)!;
  return [indent + line.slice(0, at).trimEnd(), ...breakLine(line.slice(at), restIndent, restIndent)];
}

/** Formats the program without changing it: only white space between tokens and empty lines differ. */
export function formatWgsl(text: string): string {
  const out: string[] = [];
  let depth = 0;
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    const before = out.at(-1) ?? "";
    if (line === "") {
      if (before !== "" && !before.endsWith("{")) out.push("");
      continue;
    }
    // A comment or an attribute belongs to the declaration after it.
    const isFirst = before === "" || before.startsWith("//") || before.startsWith("@compute");
    if (depth === 0 && !isFirst && (before === "}" || DECLARATION.test(line) || line.startsWith("//"))) out.push("");
    // A line that begins with an operator continues the one before.
    const continued = /^(\+|-|\*|\||&|\|\||&&|>>|<<) /.test(line) ? 1 : 0;
    const indent = INDENT.repeat(Math.max(0, depth - closersFirst(line)) + continued);
    out.push(...breakLine(line, indent));
    depth = Math.max(0, depth + depthChange(line));
  }
  return `${out.join("\n")}\n`;
}
