/** @file JSON with comments and trailing commas, read with errors that name line and column. */
import { TurboQuantError } from "../errors.ts";

/**
 * Parses JSON that may hold line and block comments, and commas before a closing bracket.
 *
 * name: of the file, for messages
 * @throws TurboQuantError invalid_file — no JSON
 */
export function parseJsonc(text: string, name: string): unknown {
  const plain = blankCommas(blankComments(text.replace(/^\uFEFF/, " ")));
  try {
    return JSON.parse(plain);
  } catch (cause) {
    const message = (cause as Error).message;
    const position = /position (\d+)/.exec(message)?.[1];
    // "Unexpected end of JSON input" has no position: it is the end.
    const at = position === undefined ? plain.length : Number(position);
    const before = text.slice(0, at).split("\n");
    const where = `line ${before.length}, column ${before.at(-1)!.length + 1}`;
    throw new TurboQuantError(
      "invalid_file",
      `${name}: expected JSON (comments are allowed), got something else at ${where}; quote names and texts, separate with commas`,
      { file: name, line: before.length },
      { cause },
    );
  }
}

/** One match is a whole string, a whole comment, or a comma before a closing bracket. */
const TOKEN = /"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
const STRING_OR_COMMA = /"(?:[^"\\\n]|\\.)*"|,(?=\s*[\]}])/g;

/** Blanks keep every position where it was, and line ends keep lines. */
const blank = (text: string): string => text.replace(/[^\n]/g, " ");

const blankComments = (text: string): string =>
  text.replace(TOKEN, (match) => (match.startsWith("/") ? blank(match) : match));

const blankCommas = (text: string): string => text.replace(STRING_OR_COMMA, (match) => (match === "," ? " " : match));
