/**
 * @file Runs a command line. Exit codes: 0, 2 for a mistake of the user, 1 for a fault, 130 for Ctrl-C; and 3 where the answer of a command
 * that answers yes or no (`plan`) is no.
 */
import { Command, CommanderError } from "commander";
import { type ErrorCode, TurboQuantError } from "../errors.ts";
import { normalizeArgv } from "./argv-aliases.ts";
import { packageVersion } from "./build-info.ts";
import { COMMANDS } from "./command-table.ts";
import { type CommandContext, EXIT_INTERRUPTED, EXIT_USER } from "./context.ts";
import { defaultText } from "./default-text.ts";
import { applyDefaults } from "./defaults.ts";
import type { CliIo } from "./io.ts";
import { meantBy } from "./meant-options.ts";
import { systemErrorLine } from "./system-error.ts";

/** Errors for which the message is enough and no stack is printed. */
const USER_CODES: readonly ErrorCode[] = ["invalid_argument", "invalid_file", "unsupported", "out_of_memory"];
const EXIT_FAULT = 1;

/**
 * Runs one command. It never throws, and ends the process only at a second Ctrl-C.
 *
 * argv: without node and script · returns: the exit code
 */
export async function runCli(argv: readonly string[], io: CliIo): Promise<number> {
  const abort = new AbortController();
  let exitCode = 0;
  const end = (): void => {
    if (abort.signal.aborted) io.exitNow(EXIT_INTERRUPTED);
    abort.abort();
  };
  let interrupt = end;
  const removeListener = io.onInterrupt(() => interrupt());
  const context: CommandContext = {
    io,
    signal: abort.signal,
    setInterrupt: (listener) => {
      interrupt = listener;
    },
    loadCommands: () => loadCommands(context),
    interrupt: end,
    setExitCode: (code) => {
      exitCode = code;
    },
  };
  try {
    const program = await buildProgram(argv, context);
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync(normalizeArgv(asOption(argv)), { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USER;
    if (abort.signal.aborted) {
      io.stderr.write("\ninterrupted\n");
      return EXIT_INTERRUPTED;
    }
    return report(error, io);
  } finally {
    removeListener();
  }
}

function report(error: unknown, io: CliIo): number {
  if (error instanceof TurboQuantError && USER_CODES.includes(error.code)) {
    io.stderr.write(`error: ${error.message}\n`);
    return EXIT_USER;
  }
  const line = systemErrorLine(error);
  if (line !== null) {
    io.stderr.write(`error: ${line}\n`);
    return EXIT_USER;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.stderr.write(
    `${text}\nThis is a fault of turboquant, not of your command. Please report it with the lines above.\n`,
  );
  return EXIT_FAULT;
}

const isCommand = (word: string): boolean => COMMANDS.some(({ name }) => name === word);

/** Rewrites `help run` to `run --help`, and `version` to `--version`. Help on a command that there is not is a command that there is not. */
function asOption(argv: readonly string[]): readonly string[] {
  const [first, second] = argv;
  if (argv.length === 1 && (first === "version" || first === "-v")) return ["--version"];
  const asked = first === "help" ? second : second === "--help" || second === "-h" ? first : undefined;
  if (asked !== undefined && !asked.startsWith("-") && !isCommand(asked)) return [asked];
  return first === "help" ? [...argv.slice(1), "--help"] : argv;
}

function loadCommands(context: CommandContext): Promise<Command[]> {
  return Promise.all(
    COMMANDS.map(async ({ name, summary, load }) => {
      const command = new Command(name).summary(summary);
      (await load()).configure(command, context);
      return command;
    }),
  );
}

/** Lists all commands by name and summary, and loads only the one that is used. */
async function buildProgram(argv: readonly string[], context: CommandContext): Promise<Command> {
  const { io } = context;
  const program = new Command("turboquant")
    .description("LLM inference on a TurboQuant-compressed KV cache.")
    .version(packageVersion(), "-V, --version", "print the version")
    // An option belongs to the command before it: `bench` and `bench attention` have options of the same name.
    .enablePositionalOptions()
    .helpCommand("help [command]", "help on a command")
    .showHelpAfterError("Run the command with --help for its options.");
  const commandName = argv.find((arg) => !arg.startsWith("-") && arg !== "help");
  for (const { name, summary, load } of COMMANDS) {
    const command = program.command(name).summary(summary);
    if (name === commandName) (await load()).configure(command, context);
  }
  program.addHelpText(
    "after",
    '\nExamples:\n  $ turboquant run\n  $ turboquant run "What is the capital of France?"\n  $ turboquant help bench' +
      "\n\nDefaults of options: TURBOQUANT_MODEL, TURBOQUANT_KV, … in the environment, and ~/.config/turboquant/config.json.",
  );
  prepare(program, io);
  program.hook("preAction", (_program, action) => applyDefaults(action));
  return program;
}

/** Makes errors throw and text go to `io`, in this command and all below it. */
function prepare(command: Command, io: CliIo): void {
  command
    .helpOption("-h, --help", "print this help")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => write(`${text}${meantBy(text, command)}`),
      getOutHelpWidth: () => (io.stdout.isTTY ? io.stdout.columns : 100),
      getErrHelpWidth: () => (io.stderr.isTTY ? io.stderr.columns : 100),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  if (command.parent) command.showHelpAfterError("Run the command with --help for its options.");
  for (const option of command.options) {
    const text = option.defaultValueDescription ?? defaultText(option);
    if (text !== undefined) option.default(option.defaultValue, text);
  }
  for (const child of command.commands) prepare(child, io);
}
