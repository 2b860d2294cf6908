/** @file The guides are true: their commands run, their options exist, and the messages that they explain are ones that there are. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { runCli } from "../src/cli/run-cli.ts";
import { sourceFiles } from "../tools/source-files.ts";
import { captureIo } from "./support/cli-io.ts";
import { repoRoot } from "./support/shared.ts";

const COMMAND = "npx turboquant ";
const read = (path: string): string => readFileSync(join(repoRoot, path), "utf8");
const words = (command: string): string[] =>
  [...command.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word);

/** The help of a command, as wide as it needs. */
async function helpOf(command: string): Promise<string> {
  const io = captureIo();
  await runCli([command, "--help"], io);
  return io.out();
}

describe.each([
  ["docs/tutorial.md", 5],
  ["docs/speculation.md", 3],
] as const)("%s", (path, least) => {
  const steps = [...read(path).matchAll(/```sh\n([\s\S]*?)```/g)]
    .flatMap(([, block]) => block!.split("\n"))
    .filter((line) => line.startsWith(COMMAND));

  it("has steps that need no network", () => expect(steps.length).toBeGreaterThanOrEqual(least));

  it.each(steps)("%s", async (step) => {
    const io = captureIo();
    const code = await runCli(words(step.slice(COMMAND.length)), io);
    expect(code, io.err()).toBe(0);
    expect(io.out()).not.toBe("");
  });
});

describe.each(["docs/tutorial.md", "docs/coming-from.md", "docs/speculation.md"])("%s", (path) => {
  // In this process, where the modules are loaded already: one of its own takes seconds for them.
  it("its program runs", async () => {
    const code = /```ts\n([\s\S]*?)```/.exec(read(path))?.[1];
    expect(code).toContain('from "turboquant"');
    const folder = mkdtempSync(join(tmpdir(), "guide-"));
    const file = join(folder, "program.ts");
    writeFileSync(file, code!.replace('"turboquant"', JSON.stringify(join(repoRoot, "src/node/index.ts"))));
    const written: string[] = [];
    const write = (text: unknown): boolean => written.push(String(text)) > 0;
    const mocks = [
      vi.spyOn(process.stdout, "write").mockImplementation(write),
      vi.spyOn(console, "log").mockImplementation(write),
    ];
    try {
      await import(file);
    } finally {
      for (const mock of mocks) mock.mockRestore();
      rmSync(folder, { recursive: true });
    }
    expect(written.join("").trim().length).toBeGreaterThan(10);
  });
});

it("the chart of the README is what plan says", async () => {
  const folder = mkdtempSync(join(tmpdir(), "chart-"));
  const argv = process.argv;
  process.argv = [argv[0]!, join(repoRoot, "tools/context-chart.ts"), "--out", folder];
  try {
    await import("../tools/context-chart.ts");
  } finally {
    process.argv = argv;
  }
  const drawn = readFileSync(join(folder, "context-8gb.svg"), "utf8");
  rmSync(folder, { recursive: true });
  expect(drawn).toBe(read("docs/images/context-8gb.svg"));
  const [f16, k4v4] = /holds ([\d,]+) tokens in f16 and ([\d,]+) in k4v4/.exec(read("README.md"))!.slice(1);
  expect(drawn).toContain(`>${f16}<`);
  expect(drawn).toContain(`>${k4v4}<`);
});

describe("docs/coming-from.md and docs/troubleshooting.md", () => {
  const commands = ["docs/coming-from.md", "docs/troubleshooting.md"].flatMap((path) =>
    [...read(path).matchAll(/`(npx turboquant [^`]+)`/g)].map(([, command]) => words(command!.slice(COMMAND.length))),
  );

  it("name commands and options that there are", async () => {
    expect(commands.length).toBeGreaterThan(20);
    for (const [command, ...args] of commands) {
      const help = await helpOf(command!);
      for (const option of args.filter((word) => /^--?[a-z]/.test(word))) {
        expect(help, `${command} ${option}`).toMatch(new RegExp(`(^|[\\s,])${option}(?![\\w-])`));
      }
    }
  });

  it("explain messages that the sources have", () => {
    const source = sourceFiles("src", [".ts"])
      .filter((path) => !path.endsWith(".test.ts"))
      .map(read)
      .join("\n");
    const messages = [...read("docs/troubleshooting.md").matchAll(/\*\*`([^`]+)`\*\*/g)].map(([, message]) => message!);
    expect(messages.length).toBeGreaterThan(10);
    for (const message of messages) {
      for (const piece of message
        .split("…")
        .map((text) => text.trim())
        .filter((text) => text.length > 3)) {
        expect(source, message).toContain(piece);
      }
    }
  });
});
