/** @file Runs a command in a child process, because resident memory can only be attributed to a whole process. */
import { spawn } from "node:child_process";
import { CommanderError } from "commander";
import { TurboQuantError } from "../errors.ts";
import { EXIT_USER } from "./context.ts";

/**
 * argv: arguments of a command that prints one JSON object. The child writes to our stderr.
 * @throws CommanderError — a mistake of the user, of which the child has said all that there is to say; TurboQuantError unsupported — it failed
 */
export async function measureInChild<T>(argv: readonly string[], signal: AbortSignal): Promise<T> {
  const script = process.argv[1];
  if (script === undefined)
    throw new TurboQuantError("internal", "bench: the path of the turboquant command is unknown");
  const child = spawn(process.execPath, [...process.execArgv, script, ...argv], {
    stdio: ["ignore", "pipe", "inherit"],
    signal,
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code === EXIT_USER) throw new CommanderError(EXIT_USER, "turboquant.said", "the child has said what is wrong");
  if (code !== 0)
    throw new TurboQuantError(
      "unsupported",
      `bench: the measuring process ended with exit code ${code}; its message is above`,
    );
  return JSON.parse(text) as T;
}
