#!/usr/bin/env node
/** @file The `turboquant` command. */
import "../node/install.ts";
import { processIo } from "./io.ts";
import { runCli } from "./run-cli.ts";

// A reader that went away (`| head`) is no fault of ours: end quietly.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
}

// Not process.exit: what was written to a pipe must still get through.
process.exitCode = await runCli(process.argv.slice(2), processIo());
