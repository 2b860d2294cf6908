/** @file What the commands and their options are called, as `--help` and `--version` say it. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { COMMANDS } from "./command-table.ts";
import type { CommandContext } from "./context.ts";
import { defaultText } from "./default-text.ts";

/** All commands with those below them. */
async function commands(): Promise<Command[]> {
  const loaded = COMMANDS.map(async ({ name, load }) => {
    const command = new Command(name);
    (await load()).configure(command, {} as CommandContext);
    return [command, ...command.commands];
  });
  return (await Promise.all(loaded)).flat();
}

describe("help and version", () => {
  it("the commands", async () => {
    const { code, out, err } = await runCommand(["--help"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatchInlineSnapshot(`
      "Usage: turboquant [options] [command]

      LLM inference on a TurboQuant-compressed KV cache.

      Options:
        -V, --version   print the version
        -h, --help      print this help

      Commands:
        run             continue or answer one prompt
        chat            talk with the model
        serve           an OpenAI-compatible server, and the web page
        pull            download a model from the hub
        list            the models on this machine
        show            where a model lies, its revision and licence, and what inspect says
        rm              remove a model from this machine
        inspect         show a model, its KV format byte by byte, or a saved cache
        eval            quality of KV formats: perplexity, divergence, recall
        calibrate       fit the KV codes to a model, once: a small file beside it
        allocate        bits for each layer, and for K and V, under a byte budget
        sweep           search KV formats and settings, resumable
        sweep-worker    compute runs of a sweep that another host coordinates
        report          draw the rows of sweeps and evaluations as one page
        plan            what fits a memory: weights, cache, context, sequences
        recommend       the smallest KV format that this model survives
        print-kernel    show the text of a WebGPU kernel
        tune            search the plans of WebGPU kernels on this machine's adapter, and keep the best
        bench           speed and memory of KV formats
        completion      a script by which bash, zsh or fish complete commands and options
        help [command]  help on a command

      Examples:
        $ turboquant run
        $ turboquant run "What is the capital of France?"
        $ turboquant help bench

      Defaults of options: TURBOQUANT_MODEL, TURBOQUANT_KV, … in the environment, and ~/.config/turboquant/config.json.
      "
    `);
  });

  it("every command has a description, examples, and no duplicate flags", async () => {
    for (const { name, summary } of COMMANDS) {
      const { code, out } = await runCommand([name, "--help"]);
      expect(code, name).toBe(0);
      expect(out, name).toContain("Examples:\n");
      expect(summary.length, name).toBeGreaterThan(10);
      expect((await runCommand(["help", name])).out, name).toBe(out);
    }
  });

  it("defaults are shown as they are typed", async () => {
    const options = (await commands()).flatMap((command) => command.options);
    const shown = options.flatMap((option) => {
      const text = defaultText(option);
      if (text !== undefined)
        expect(option.parseArg!(text, undefined as never), option.flags).toEqual(option.defaultValue);
      return text ?? [];
    });
    expect(shown).toEqual(expect.arrayContaining(["16MiB", "60s", "0,25,50,75,100"]));
    expect((await runCommand(["serve", "--help"])).out).toMatch(/longest request\s+\(default: 16MiB\)/);
    expect((await runCommand(["allocate", "--help"])).out).toContain("(default: 2,3,4,5,6,8)");
  });

  it("one letter means the same in every command", async () => {
    const meanings = new Map<string, Set<string>>();
    for (const { short, long } of (await commands()).flatMap(({ options }) => options)) {
      if (short) meanings.set(short, (meanings.get(short) ?? new Set()).add(long!));
    }
    expect(Object.fromEntries([...meanings].filter(([, longs]) => longs.size > 1))).toMatchInlineSnapshot(`
      {
        "-c": Set {
          "--ctx",
          "--context",
        },
        "-n": Set {
          "--max-new-tokens",
          "--gen-tokens",
        },
        "-p": Set {
          "--prompt",
          "--prompt-tokens",
        },
      }
    `);
  });

  it("options that scripts rely on", async () => {
    const flagsOf = async (argv: string[]) =>
      [...(await runCommand([...argv, "--help"])).out.matchAll(/^ {2}(-.+?) {2,}/gm)].map((m) => m[1]);
    expect({
      run: await flagsOf(["run"]),
      chat: await flagsOf(["chat"]),
      inspect: await flagsOf(["inspect"]),
      eval: await flagsOf(["eval"]),
      bench: await flagsOf(["bench"]),
      attention: await flagsOf(["bench", "attention"]),
      prefill: await flagsOf(["bench", "prefill"]),
      memory: await flagsOf(["bench", "memory"]),
    }).toMatchInlineSnapshot(`
      {
        "attention": [
          "--shape <name>",
          "-d, --depth <list>",
          "--kv <list>",
          "-t, --threads <list>",
          "-r, --repeats <n>",
          "--backend <name>",
          "-o, --output <format>",
          "--json",
          "--out <file>",
          "--quiet",
          "-h, --help",
        ],
        "bench": [
          "-m, --model <ref>",
          "--shape <name>",
          "--layers <n>",
          "-p, --prompt-tokens <list>",
          "-n, --gen-tokens <list>",
          "-d, --depth <list>",
          "--fill <how>",
          "--kv <list>",
          "-t, --threads <list>",
          "-r, --repeats <n>",
          "--backend <name>",
          "--weights <type>",
          "-o, --output <format>",
          "--json",
          "--out <file>",
          "--quiet",
          "-h, --help",
        ],
        "chat": [
          "-m, --model <ref>",
          "--kv <spec>",
          "--cache-type-k <type>",
          "--cache-type-v <type>",
          "-c, --ctx <tokens>",
          "--kv-budget <size>",
          "--memory <size>",
          "--rope-scaling <type>",
          "--rope-scale <n>",
          "--rope-freq-base <theta>",
          "-n, --max-new-tokens <n>",
          "--temperature <t>",
          "--top-k <k>",
          "--top-p <p>",
          "--min-p <p>",
          "--repetition-penalty <x>",
          "-s, --seed <n>",
          "--stop <text>",
          "--system <text>",
          "--no-context-shift",
          "--spec <method>",
          "--draft-model <ref>",
          "--draft-max <n>",
          "--prompt-lookup-max <n>",
          "--prompt-lookup-min <n>",
          "--backend <name>",
          "--weights <type>",
          "-t, --threads <n>",
          "--json",
          "--quiet",
          "--explain",
          "-h, --help",
        ],
        "eval": [
          "-m, --model <ref>",
          "--text <file>",
          "--text-seed <n>",
          "-c, --ctx <tokens>",
          "--chunks <n>",
          "--kv <spec>",
          "--base <spec>",
          "--ladder",
          "--needle <n>",
          "--needle-lengths <list>",
          "--needle-depths <list>",
          "--needle-prompts <n>",
          "--greedy <n>",
          "--greedy-tokens <n>",
          "--tasks <n>",
          "--tasks-lengths <list>",
          "--diagnose",
          "--out <file>",
          "--time <time>",
          "--no-cache",
          "--clear-cache",
          "--backend <name>",
          "--weights <type>",
          "-t, --threads <n>",
          "--rope-scaling <type>",
          "--rope-scale <n>",
          "--rope-freq-base <theta>",
          "--json",
          "--quiet",
          "--explain",
          "-h, --help",
        ],
        "inspect": [
          "-m, --model <ref>",
          "--kv <spec>",
          "--cache-type-k <type>",
          "--cache-type-v <type>",
          "-c, --ctx <tokens>",
          "--tensors",
          "--json",
          "--quiet",
          "-h, --help",
        ],
        "memory": [
          "--shape <name>",
          "--layers <n>",
          "--tokens <n>",
          "--kv <list>",
          "-t, --threads <n>",
          "--backend <name>",
          "-o, --output <format>",
          "--json",
          "--out <file>",
          "--quiet",
          "-h, --help",
        ],
        "prefill": [
          "-m, --model <ref>",
          "--shape <name>",
          "--layers <n>",
          "-p, --prompt-tokens <n>",
          "--kv <list>",
          "-t, --threads <n>",
          "-r, --repeats <n>",
          "--backend <name>",
          "--weights <type>",
          "-o, --output <format>",
          "--json",
          "--out <file>",
          "--quiet",
          "-h, --help",
        ],
        "run": [
          "-m, --model <ref>",
          "--kv <spec>",
          "--cache-type-k <type>",
          "--cache-type-v <type>",
          "-c, --ctx <tokens>",
          "--kv-budget <size>",
          "--memory <size>",
          "--rope-scaling <type>",
          "--rope-scale <n>",
          "--rope-freq-base <theta>",
          "-n, --max-new-tokens <n>",
          "--temperature <t>",
          "--top-k <k>",
          "--top-p <p>",
          "--min-p <p>",
          "--repetition-penalty <x>",
          "-s, --seed <n>",
          "--stop <text>",
          "-f, --file <path>",
          "--context-shift",
          "--keep <tokens>",
          "--raw",
          "--system <text>",
          "--compare-f16",
          "--spec <method>",
          "--draft-model <ref>",
          "--draft-max <n>",
          "--prompt-lookup-max <n>",
          "--prompt-lookup-min <n>",
          "--backend <name>",
          "--weights <type>",
          "-t, --threads <n>",
          "--json",
          "--quiet",
          "--explain",
          "-h, --help",
        ],
      }
    `);
  });

  it("version", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    for (const typed of ["--version", "-V", "version", "-v"])
      expect(await runCommand([typed])).toMatchObject({ code: 0, out: `${version}\n`, err: "" });
  });
});
