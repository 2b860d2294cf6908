#!/usr/bin/env node
/** @file The entry point of the `turboquant` command. */
import "../node/install.ts";
import { processIo } from "./io.ts";
import { runCli } from "./run-cli.ts";

// A reader that closes the pipe (`| head`) is not an error, so the process ends quietly.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
}

// `process.exit` would lose output that is still on its way into a pipe.
process.exitCode = await runCli(process.argv.slice(2), processIo());
