#!/usr/bin/env node
/** @file The entry point of the `turboquant` command. */
import "../node/install.ts";
import { EXIT_USER } from "./context.ts";
import { processIo } from "./io.ts";
import { runCli } from "./run-cli.ts";
import { watchOutputs } from "./stream-errors.ts";

watchOutputs({ stdout: process.stdout, stderr: process.stderr, exit: (code) => process.exit(code) }, EXIT_USER);

// `process.exit` would lose output that is still on its way into a pipe.
process.exitCode = await runCli(process.argv.slice(2), processIo());
