/** @file The commands of a chat: their names, help and completion. */
import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { plainTable } from "../format.ts";
import { SETTING_NAMES } from "./settings.ts";

const HELP: readonly (readonly [usage: string, what: string])[] = [
  ["/set [NAME VALUE]", "how answers are drawn: temperature, top-p, max-new-tokens, …"],
  ["/system [TEXT]", "the system message; the conversation goes on with it"],
  ["/kv [SPEC]", "the cache's format; the conversation is read anew into it"],
  ["/undo", "take the last turn back"],
  ["/regen", "answer the last turn again, with the next seed"],
  ["/history", "what was said"],
  ["/reset", "forget the conversation"],
  ["/save FILE", "write the conversation's cache to a file"],
  ["/load FILE", "go on with a saved cache; the model and --kv must be the same"],
  ["/stats", "tokens and bytes of the cache, speed of the last answer"],
  ["/help", "this list"],
  ["/exit", "leave"],
];

export const COMMAND_NAMES = HELP.map(([usage]) => usage.split(" ")[0]!);

export const commandsText = (): string =>
  `${plainTable(HELP, ["left", "left"])}Several lines: paste them, put them between """ and """, or end lines in a backslash.\n`;

const FORMATS = ["f16", "q8_0", "k8v8", "k5v4", "k4v4", "k3v3", "k2v2", "paper-4"];

/** Candidates for the end of a line, and the end that they replace, for the Tab key. */
export function completeLine(line: string): [string[], string] {
  const typed = /^(\/\S+)\s+(\S*)$/.exec(line);
  if (!typed) return line.startsWith("/") && !line.includes(" ") ? among(COMMAND_NAMES, line) : [[], line];
  const [, command, word = ""] = typed;
  switch (command) {
    case "/set":
      return among(SETTING_NAMES, word);
    case "/kv":
      return among(FORMATS, word);
    case "/save":
    case "/load":
      return [filesLike(word), word];
    default:
      return [[], line];
  }
}

const among = (names: readonly string[], start: string): [string[], string] => [
  names.filter((name) => name.startsWith(start)),
  start,
];

function filesLike(start: string): string[] {
  const folder = start.endsWith("/") ? start : dirname(start);
  const name = start.endsWith("/") ? "" : basename(start);
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.name.startsWith(name) && (name.startsWith(".") || !entry.name.startsWith(".")))
      .map((entry) => {
        const path = start.includes("/") ? join(folder, entry.name) : entry.name;
        return entry.isDirectory() ? `${path}/` : path;
      });
  } catch {
    return [];
  }
}
