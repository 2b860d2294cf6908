/** @file Defaults from the environment and a config file, on a command of its own. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { applyDefaults } from "./defaults.ts";
import { addGenerationOptions } from "./generation-options.ts";
import { addCacheOptions, addModelOption, addOutputOptions } from "./options.ts";

const folder = mkdtempSync(join(tmpdir(), "turboquant-defaults-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The options of `run` under an environment and a file. */
async function optionsOf(argv: readonly string[], env: Record<string, string>, config?: unknown): Promise<object> {
  const path = join(folder, "config.json");
  if (config !== undefined) writeFileSync(path, typeof config === "string" ? config : JSON.stringify(config));
  const program = new Command("turboquant").exitOverride();
  const command = program.command("run").exitOverride();
  addOutputOptions(addGenerationOptions(addCacheOptions(addModelOption(command)), 256));
  let options: object = {};
  command.action((flags: object) => {
    options = flags;
  });
  const all = { TURBOQUANT_CONFIG: config === undefined ? "off" : path, ...env };
  program.hook("preAction", (_program, action) => applyDefaults(action, all));
  await program.parseAsync(["run", ...argv], { from: "user" });
  return options;
}

describe("defaults", () => {
  it("the command line comes before the environment, that before the command's part of the file, that before the rest of it", async () => {
    const config = { kv: "k3v3", model: "a", ctx: 100, run: { model: "b", "top-k": 5, stop: ["x", "y"], quiet: true } };
    expect(await optionsOf([], {}, config)).toMatchObject({
      ...{ kv: "k3v3", model: "b", ctx: 100, topK: 5, stop: ["x", "y"], quiet: true, maxNewTokens: 256 },
    });
    const env = { TURBOQUANT_MODEL: "c", TURBOQUANT_MAX_NEW_TOKENS: "7" };
    expect(await optionsOf(["--ctx", "9"], env, config)).toMatchObject({ model: "c", maxNewTokens: 7, ctx: 9 });
    expect(await optionsOf(["-m", "d"], env)).toMatchObject({ model: "d", maxNewTokens: 7 });
  });

  it("comments may stand in the file", async () => {
    expect(await optionsOf([], {}, '{ "kv": "k5v4", // for long contexts\n}')).toMatchObject({ kv: "k5v4" });
  });

  it.each([
    [{}, { modle: "a" }, /config\.json: unknown option modle; did you mean model\?/],
    [{}, { run: { jsn: true } }, /config\.json: run: unknown option jsn; did you mean json\?/],
    [{}, { ctx: "many" }, /config\.json: ctx: "many" is no value of --ctx: Expected a whole number/],
    [{}, { run: { quiet: "perhaps" } }, /run\.quiet: expected true or false, got "perhaps"/],
    [{}, [1], /expected a JSON object of options/],
    [{}, "{", /config\.json/],
    [{ TURBOQUANT_CTX: "x" }, undefined, /^TURBOQUANT_CTX: "x" is no value of --ctx/],
    [{ TURBOQUANT_CONFIG: "/no/such/file" }, undefined, /\/no\/such\/file: cannot be read: there is no such file/],
  ])("%j and %j are refused", async (env, config, message) => {
    await expect(optionsOf([], env, config)).rejects.toThrow(message);
  });

  /** `plan` with this config file. */
  async function planWith(config: object, ...argv: string[]) {
    const path = join(folder, "whole.json");
    writeFileSync(path, JSON.stringify(config));
    const before = process.env["TURBOQUANT_CONFIG"];
    process.env["TURBOQUANT_CONFIG"] = path;
    try {
      return await runCommand(["plan", ...argv]);
    } finally {
      process.env["TURBOQUANT_CONFIG"] = before;
    }
  }

  it("commands ask for them", async () => {
    const { code, err } = await planWith({ plan: { memory: "24" } });
    expect([code, err]).toEqual([2, expect.stringMatching(/whole\.json: plan\.memory: "24" is no value of --memory/)]);
  });

  it("a command without a shared option takes a file that has it", async () => {
    const { code, err } = await planWith({ "rope-scaling": "yarn", "rope-scale": 2, "draft-max": 4 }, "qwen3-1m");
    expect([code, err]).toEqual([0, ""]);
  });

  it("every file that declares shared options is loaded before names are checked", () => {
    const here = import.meta.dirname;
    const files = readdirSync(here, { recursive: true, encoding: "utf8" }).filter((file) =>
      /(?<!\.test)\.ts$/.test(file),
    );
    const declaring = files.filter((file) => /= sharing\(/.test(readFileSync(join(here, file), "utf8")));
    const loaded = readFileSync(join(here, "defaults.ts"), "utf8").matchAll(/import\("\.\/(.+)"\)/g);
    expect(declaring.sort()).toEqual([...loaded].map(([, file]) => file).sort());
  });
});
