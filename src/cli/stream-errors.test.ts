import { spawnSync } from "node:child_process";
import { closeSync, createWriteStream, existsSync, openSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { repoRoot } from "../../test/support/shared.ts";
import { watchOutputs } from "./stream-errors.ts";

/** The exit code and the lines of a process whose stdout is this stream. */
function watched(stdout: NodeJS.WritableStream): Promise<[number, string]> {
  return new Promise((resolve) => {
    const stderr = new PassThrough();
    let text = "";
    stderr.on("data", (chunk) => {
      text += chunk;
    });
    watchOutputs({ stdout, stderr, exit: (code) => setImmediate(() => resolve([code, text])) }, 2);
    // Would end the process of the tests, were nobody to listen.
    stderr.emit("error", new Error("nobody reads notes"));
    stdout.write("x");
  });
}

it.skipIf(!existsSync("/dev/full"))("a full disk is one line (skipped without /dev/full)", async () => {
  const stdout = createWriteStream("/dev/full");
  expect(await watched(stdout)).toEqual([2, "error: stdout: no space is left on the device (ENOSPC)\n"]);
});

it.skipIf(!existsSync("/dev/full"))("so it is of the command itself (skipped without /dev/full)", () => {
  const full = openSync("/dev/full", "w");
  const main = join(repoRoot, "src/cli/main.ts");
  const tsx = pathToFileURL(join(repoRoot, "node_modules/tsx/dist/loader.mjs")).href;
  const { status, stderr } = spawnSync(process.execPath, ["--import", tsx, main, "--version"], {
    stdio: ["ignore", full, "pipe"],
    encoding: "utf8",
  });
  closeSync(full);
  expect([status, stderr]).toEqual([2, "error: stdout: no space is left on the device (ENOSPC)\n"]);
});

it("a reader that closes the pipe is no error", async () => {
  const stdout = new PassThrough();
  setImmediate(() => stdout.destroy(Object.assign(new Error("write EPIPE"), { code: "EPIPE" })));
  expect(await watched(stdout)).toEqual([0, ""]);
});
