/** @file `turboquant completion SHELL`: prints a script by which a shell completes commands, options, and those of their values that are few. */
import { Argument, type Command } from "commander";
import type { CommandContext } from "../context.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

export function configure(command: Command, context: CommandContext): void {
  command
    .description("Prints a script by which a shell completes commands, options and values.")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .addHelpText(
      "after",
      `
Examples:
  $ source <(turboquant completion bash)          # in ~/.bashrc
  $ source <(turboquant completion zsh)           # in ~/.zshrc, behind compinit
  $ turboquant completion fish > ~/.config/fish/completions/turboquant.fish`,
    )
    .action((shell: Shell) => run(shell, context));
}

async function run(shell: Shell, context: CommandContext): Promise<void> {
  const commands = (await context.loadCommands()).map(describe);
  const script = { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](commands);
  context.io.stdout.write(script);
}

interface Described {
  readonly name: string;
  readonly summary: string;
  readonly subcommands: readonly string[];
  readonly options: readonly DescribedOption[];
}

interface DescribedOption {
  readonly long: string;
  readonly short: string | undefined;
  readonly what: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

function describe(command: Command): Described {
  return {
    name: command.name(),
    summary: command.summary(),
    subcommands: command.commands.map((each) => each.name()),
    options: command.options
      .filter(({ long, hidden }) => long !== undefined && !hidden)
      .map(({ long, short, description, required, optional, argChoices = [] }) => ({
        long: long!,
        short,
        what: description.replace(/\s+/g, " "),
        takesValue: required || optional,
        choices: argChoices,
      })),
  };
}

const namesOf = ({ options }: Described): string[] => options.map(({ long }) => long);

/** Lines of a `case` over the option before the cursor, whose values are few. */
const choiceCases = (commands: readonly Described[], reply: (words: string) => string): string => {
  const choices = new Map<string, string>();
  for (const { options } of commands) {
    for (const { long, short, choices: words } of options) {
      if (words.length > 0) choices.set(short ? `${long}|${short}` : long, words.join(" "));
    }
  }
  return [...choices].map(([names, words]) => `    ${names}) ${reply(words)} ;;`).join("\n");
};

function bashScript(commands: readonly Described[]): string {
  const cases = commands
    .map((each) => `    ${each.name}) words="${[...each.subcommands, ...namesOf(each), "--help"].join(" ")}" ;;`)
    .join("\n");
  return `# Completions of turboquant for bash: source <(turboquant completion bash)
_turboquant() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  COMPREPLY=()
  case "$before" in
${choiceCases(commands, (words) => `COMPREPLY=($(compgen -W "${words}" -- "$current")); return`)}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(" ")} help --version --help" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases}
    help) words="${commands.map(({ name }) => name).join(" ")}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -o bashdefault -F _turboquant turboquant
`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
/** Colons and brackets divide the parts of a description in zsh. */
const plainForZsh = (text: string): string => text.replace(/[[\]:]/g, " ").replace(/\s+/g, " ");

function zshScript(commands: readonly Described[]): string {
  const optionOf = ({ long, what, takesValue, choices }: DescribedOption): string => {
    const value = takesValue ? `:value:${choices.length > 0 ? `(${choices.join(" ")})` : "_files"}` : "";
    return `        ${quoted(`${long}[${plainForZsh(what)}]${value}`)}`;
  };
  const cases = commands
    .map(
      (each) =>
        `    ${each.name})\n      _arguments ${[...each.options.map(optionOf), `        '*:file:_files'`].join(" \\\n").trimStart()}\n      ;;`,
    )
    .join("\n");
  return `#compdef turboquant
# Completions of turboquant for zsh: source <(turboquant completion zsh)
_turboquant() {
  local -a commands
  commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${plainForZsh(summary)}`)}`).join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe 'command' commands
    return
  fi
  local command="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$command" in
${cases}
  esac
}
compdef _turboquant turboquant
`;
}

function fishScript(commands: readonly Described[]): string {
  const lines = commands.flatMap(({ name, summary, options }) => [
    `complete -c turboquant -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
    ...options.map(({ long, short, what, takesValue, choices }) =>
      [
        `complete -c turboquant -n '__fish_seen_subcommand_from ${name}' -l ${long.slice(2)}`,
        ...(short ? [`-s ${short.slice(1)}`] : []),
        ...(takesValue ? ["-r"] : []),
        ...(choices.length > 0 ? [`-f -a ${quoted(choices.join(" "))}`] : []),
        `-d ${quoted(what)}`,
      ].join(" "),
    ),
  ]);
  return `# Completions of turboquant for fish\n${lines.join("\n")}\n`;
}
