/** @file What `serve --page-store` refuses: one line and exit code 2, before a model is loaded. */
import { expect, it } from "vitest";
import { captureIo } from "../../../test/support/cli-io.ts";
import { runCli } from "../run-cli.ts";

it.each([
  [["--page-store", "/a/path"], /--page-store: expected folder:PATH, redis:\S+ or s3:\S+, got "\/a\/path"/],
  [["--page-store", "redis://"], /--page-store: expected redis:/],
  [["--page-store", "s3://NO"], /--page-store: expected s3:\/\/BUCKET/],
  [
    ["--page-store", "folder:x", "--no-prefix-cache"],
    /--page-store: it shares kept prefixes, and --no-prefix-cache keeps none/,
  ],
])("%j", async (argv, message) => {
  const io = captureIo();
  expect(await runCli(["serve", "--model", "no-such-model", ...argv], io)).toBe(2);
  expect(io.err()).toMatch(message);
  expect(io.err().trim().split("\n").length).toBe(1);
});
