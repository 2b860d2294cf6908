/**
 * @file Defaults of options from the environment and a config file. An option of the command line comes before a variable, a variable before
 * the file, and in the file what stands under a command's name before what stands for all.
 */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Command, Option } from "commander";
import { closest } from "../closest.ts";
import { TurboQuantError } from "../errors.ts";
import { parseJsonc } from "../lab/jsonc.ts";
import { COMMANDS } from "./command-table.ts";
import { isShared, sharedNames } from "./shared-options.ts";
import { reasonOf } from "./system-error.ts";

const PREFIX = "TURBOQUANT_";
/** Names another file; `off` reads none. */
const FILE_VARIABLE = "TURBOQUANT_CONFIG";

type Env = Readonly<Record<string, string | undefined>>;
type Section = Readonly<Record<string, unknown>>;

/** `--top-p` is TURBOQUANT_TOP_P. */
const variableOf = (option: Option): string => `${PREFIX}${nameOf(option).replaceAll("-", "_").toUpperCase()}`;
const nameOf = (option: Option): string => option.long!.slice(2);

/**
 * Sets what the command line left to its default.
 * @throws TurboQuantError invalid_argument — a value that the option does not take, or an entry of the file that is no option
 */
export async function applyDefaults(command: Command, env: Env = process.env): Promise<void> {
  const file = await readConfig(env);
  // Commands of commands have no section.
  const section = command.parent?.parent ? {} : (file?.sections[command.name()] ?? {});
  if (file) checkNames(Object.keys(section), ownNames(command), `${file.path}: ${command.name()}`);
  for (const option of command.options) {
    const source = command.getOptionValueSource(option.attributeName());
    if (option.long === undefined || option.hidden || (source !== undefined && source !== "default")) continue;
    const name = nameOf(option);
    const variable = variableOf(option);
    if (isShared(option) && env[variable]) set(command, option, variable, env[variable]);
    else if (Object.hasOwn(section, name))
      set(command, option, `${file!.path}: ${command.name()}.${name}`, section[name]);
    else if (isShared(option) && file && Object.hasOwn(file.shared, name))
      set(command, option, `${file.path}: ${name}`, file.shared[name]);
  }
}

function set(command: Command, option: Option, from: string, value: unknown): void {
  const refuse = (why: string): never => {
    throw new TurboQuantError("invalid_argument", `${from}: ${why}; correct it`);
  };
  const attribute = option.attributeName();
  if (option.isBoolean() || option.negate) {
    const isOn = value === true || value === "true" || value === "1";
    const isOff = value === false || value === "false" || value === "0";
    if (!isOn && !isOff) refuse(`expected true or false, got ${JSON.stringify(value)}`);
    // `--no-x` is written as `no-x`, and true means that there is no x.
    command.setOptionValueWithSource(attribute, option.negate ? !isOn : isOn, "config");
    return;
  }
  if (typeof value === "object" && !Array.isArray(value))
    refuse(`expected a text or a number, got ${JSON.stringify(value)}`);
  let parsed: unknown;
  for (const text of (Array.isArray(value) ? value : [value]).map(String)) {
    if (option.argChoices && !option.argChoices.includes(text)) {
      refuse(`expected one of ${option.argChoices.join(", ")}, got ${text}`);
    }
    try {
      parsed = option.parseArg ? option.parseArg(text, parsed as never) : text;
    } catch (error) {
      refuse(`${JSON.stringify(value)} is no value of ${option.long}: ${(error as Error).message}`);
    }
  }
  command.setOptionValueWithSource(attribute, parsed, "config");
}

interface Config {
  readonly path: string;
  readonly shared: Section;
  readonly sections: Readonly<Record<string, Section>>;
}

function configPath(env: Env): string | null {
  const named = env[FILE_VARIABLE];
  if (named === "off") return null;
  return named || join(env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "turboquant", "config.json");
}

/** Null where there is no file. */
async function readConfig(env: Env): Promise<Config | null> {
  const path = configPath(env);
  if (path === null) return null;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT" && !env[FILE_VARIABLE]) return null;
    throw new TurboQuantError(
      "invalid_argument",
      `${path}: cannot be read: ${reasonOf(cause)}; correct ${FILE_VARIABLE}, or set it to off`,
      {},
      { cause },
    );
  }
  const json: unknown = parseJsonc(text, path);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new TurboQuantError("invalid_file", `${path}: expected a JSON object of options; correct it`);
  }
  const entries = Object.entries(json);
  const isSection = ([name, value]: [string, unknown]): boolean =>
    typeof value === "object" && value !== null && !Array.isArray(value) && COMMANDS.some((each) => each.name === name);
  const shared = Object.fromEntries(entries.filter((entry) => !isSection(entry)));
  // These declare what all commands share; a command that has none of it has not loaded them.
  await Promise.all([
    import("./generation-options.ts"),
    import("./options.ts"),
    import("./rope-flags.ts"),
    import("./speculation-flags.ts"),
  ]);
  checkNames(Object.keys(shared), [...sharedNames(), ...COMMANDS.map(({ name }) => name)], path);
  return { path, shared, sections: Object.fromEntries(entries.filter(isSection)) };
}

const ownNames = (command: Command): string[] =>
  command.options.filter(({ long, hidden }) => long !== undefined && !hidden).map(nameOf);

function checkNames(names: readonly string[], known: readonly string[], where: string): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const hint = closest(unknown, known);
  throw new TurboQuantError(
    "invalid_file",
    `${where}: unknown option ${unknown}; ${hint ? `did you mean ${hint}?` : `there are ${known.join(", ")}`}`,
    { name: unknown },
  );
}
