/** @file Joins the lines of a page into paragraphs: a PDF breaks them where the paper ends, not where a thought does. */

/** A line of this part of the longest one was broken for lack of room. */
const FULL = 0.7;

export function joinLines(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  const longest = Math.max(...lines.map(({ length }) => length));
  return lines.reduce((joined, line, i) => {
    const before = lines[i - 1];
    if (before === undefined) return line;
    if (before === "" || line === "" || before.length < FULL * longest) return `${joined}\n${line}`;
    // A word that was cut at the end of the line.
    if (/\p{L}-$/u.test(before) && /^\p{Ll}/u.test(line)) return joined.slice(0, -1) + line;
    return `${joined} ${line}`;
  }, "");
}
