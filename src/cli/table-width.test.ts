/** @file Tables of commands fit the terminal that they are printed on; `captureIo` has one of 80 columns. */
import { join } from "node:path";
import { expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { randomModel } from "../../test/support/random-model.ts";

const { folder, args } = randomModel();

it.each([
  ["plan", [join(folder, "model"), "--memory", "1GB"]],
  ["inspect", [join(folder, "model"), "--tensors"]],
  ["bench", [...args, "-p", "4", "-n", "0", "-r", "1", "--kv", "f16", "--quiet"]],
  ["eval", [...args, "-c", "32", "--chunks", "1", "--kv", "k4v4,window=0", "--quiet"]],
])("%s", async (command, options) => {
  const { code, out, err } = await runCommand([command, ...options], { isTTY: true });
  expect(code, err).toBe(0);
  // Notes of a sentence are wrapped by the terminal.
  const tables = out.split("\n").filter((line) => /^\||\S {2,}\S/.test(line));
  expect(tables.length).toBeGreaterThan(2);
  expect(tables.filter((line) => line.length > 80)).toEqual([]);
});
