/** @file Which options mean the same for every command that has them, so that one default can stand for all. */
import { Command, type Option } from "commander";

const shared = new WeakSet<Option>();
/** What adds them to a command, in the order of definition. */
const adders: ((command: Command) => Command)[] = [];

/** Marks the options that `add` gives a command as shared. */
export function sharing<A extends unknown[]>(add: (command: Command, ...more: A) => Command, ...sample: NoInfer<A>) {
  adders.push((command) => add(command, ...sample));
  return (command: Command, ...more: A): Command => {
    const before = command.options.length;
    add(command, ...more);
    for (const option of command.options.slice(before)) shared.add(option);
    return command;
  };
}

export const isShared = (option: Option): boolean => shared.has(option);

/** Names of all of them, without dashes. */
export function sharedNames(): string[] {
  const command = new Command();
  for (const add of adders) add(command);
  return command.options.filter(({ long, hidden }) => long !== undefined && !hidden).map(({ long }) => long!.slice(2));
}
