/**
 * @file The command line of the programs in bench/ and tools/. `--help` prints the comment at the head of a program's file, which is
 * its manual, and ends with 0; a wrong option is one line on stderr and ends with 2.
 */
import { readFileSync } from "node:fs";
import { basename, relative } from "node:path";
import { type ParseArgsConfig, parseArgs } from "node:util";
import { closest } from "../src/closest.ts";
import { ROOT } from "./source-files.ts";

type Options = NonNullable<ParseArgsConfig["options"]>;

/** Path of the program that is run; its name in messages. */
const path = process.argv[1] ?? "";
const inTree = relative(ROOT, path).replaceAll("\\", "/");
const program = inTree.startsWith("..") ? basename(path) : inTree;

/** Options and positionals, as `parseArgs` of node:util has them; ends the program when they are wrong, or when help is asked for. */
export function readCommandLine<const T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  helpWhenAsked(config.options);
  try {
    return parseArgs(config);
  } catch (error) {
    return refuse(optionError(error as Error, config.options ?? {}));
  }
}

/** For a program that takes arguments and no options, or that hands its options to another. */
export function readArguments(): string[] {
  helpWhenAsked();
  return process.argv.slice(2);
}

/** Ends the program because of what was typed. message: names the option or argument, what was expected and what it was */
export function refuse(message: string): never {
  process.stderr.write(`${program}: ${message}\n`);
  process.exit(2);
}

/** Words behind `--` are no options. known: listed below the head, as that may name them in part or say where they are explained */
function helpWhenAsked(known: Options = {}): void {
  const args = process.argv.slice(2);
  const end = args.indexOf("--");
  const options = end < 0 ? args : args.slice(0, end);
  if (!options.includes("--help") && !options.includes("-h")) return;
  const usage = usageOf(readFileSync(path, "utf8")) ?? `${program}: see the head of its source`;
  const lines = Object.entries(known).map((option) => `  ${optionLine(...option)}\n`);
  process.stdout.write(`${usage}\n${lines.length > 0 ? `\nOptions:\n${lines.join("")}` : ""}`);
  process.exit(0);
}

/** The text of the `@file` comment at the head of a source, without stars; null where there is none, as in a bundle. */
export function usageOf(source: string): string | null {
  const comment = /^(?:#!.*\n)?\/\*\*\s*(?:\*\s*)?@file\s+([\s\S]*?)\s*\*\//.exec(source)?.[1];
  return comment?.replace(/^[ \t]*\*[ \t]?/gm, "") ?? null;
}

/** For example `-t, --threads 2`: what is taken without the option stands behind it, a value that has to be given in capitals. */
export function optionLine(name: string, { type, short, default: standard }: Options[string]): string {
  const names = short === undefined ? `--${name}` : `-${short}, --${name}`;
  return type === "boolean" ? names : `${names} ${standard ?? "VALUE"}`;
}

/** One line for an error of `parseArgs`, whose messages explain themselves in several sentences. */
export function optionError(error: Error, options: Options): string {
  const unknown = /Unknown option '(-[^']*)'/.exec(error.message)?.[1];
  if (unknown === undefined) return `${error.message.split(/\.?\n|\. /)[0]}; --help explains the options`;
  const near = closest(
    unknown,
    Object.keys(options).map((name) => `--${name}`),
  );
  return `unknown option ${unknown}; ${near ? `did you mean ${near}?` : "--help explains the options"}`;
}
