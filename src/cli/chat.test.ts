/** @file A chat in this process: lines in, answers out. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { type IoOptions, runCommand } from "../../test/support/cli-io.ts";
import { randomModel } from "../../test/support/random-model.ts";

/** The larger model: it answers. */
const CHAT = ["chat", "-t", "1", "-n", "24"];

const model = randomModel();
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "turboquant-chat-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const chat = (lines: readonly string[], options: IoOptions = {}, argv: readonly string[] = []) =>
  runCommand([...CHAT, ...argv], { stdin: lines.map((line) => `${line}\n`).join(""), ...options });

it("begins with the model, its cache and its context, for whoever types", async () => {
  const { args } = model;
  const typed = Object.assign(Readable.from(["/exit\n"]), { isTTY: true });
  const { code, err } = await runCommand(["chat", ...args, "--kv", "k4v3", "-c", "1024"], { stdin: typed });
  expect([code, err]).toEqual([
    0,
    expect.stringMatching(/^model, cache k4v3, context 1,024; \/help lists the commands/m),
  ]);
});

it("a folder in the place of a saved conversation is named", async () => {
  const { code, err } = await runCommand(["chat", ...model.args], { stdin: `/load ${folder}\n` });
  expect([code, err]).toEqual([0, expect.stringContaining(`error: ${folder}: it is a folder (EISDIR)`)]);
});

describe("turns", () => {
  it("answers line by line until the input ends, keeping the cache", async () => {
    const { code, out } = await chat(["What is the capital of France?", "", "What is the capital of Spain?"], {}, [
      "--json",
    ]);
    expect(code).toBe(0);
    const [first, second] = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(first.text).toContain("Paris");
    expect(second.text).toContain("Madrid");
    expect(first.usage.cachedTokens).toBe(0);
    // Everything of the first turn but its last token is still there.
    expect(second.usage.cachedTokens).toBeGreaterThanOrEqual(
      first.usage.promptTokens + first.usage.completionTokens - 1,
    );
  });

  it("/reset forgets, /stats counts, /exit ends", async () => {
    const { out, err } = await chat([
      "What is the capital of France?",
      "/stats",
      "/reset",
      "/stats",
      "/exit",
      "never said",
    ]);
    expect(out).toBe("The capital of France is Paris.\n");
    const [before, after] = [...err.matchAll(/tokens in the cache +(\d+)/g)].map((match) => Number(match[1]));
    expect(before).toBeGreaterThan(15);
    expect(after).toBe(0);
  });

  it("a mistake is said and the chat goes on", async () => {
    const { code, out, err } = await chat([
      "/sav x",
      "/save",
      `/load ${join(folder, "nothing.tqkv")}`,
      "word ".repeat(5000),
      "What is the capital of France?",
    ]);
    expect(code).toBe(0);
    expect(err).toMatch(/unknown command \/sav; did you mean \/save\?/);
    expect(err).toMatch(/\/save: a file name is missing/);
    expect(err).toMatch(/nothing\.tqkv: there is no such file or folder \(ENOENT\); check the path/);
    expect(err).toMatch(/do not fit the context of 4096/);
    expect(out).toBe("The capital of France is Paris.\n");
  });

  it("/undo, /regen, /system, /set, /kv and /history change what comes next", async () => {
    const { code, out, err } = await chat([
      "/history",
      "What is the capital of France?",
      "What is the capital of Spain?",
      "/undo",
      "/history",
      "/kv k8v8",
      "/regen",
      "/set temp=0.5",
      "/set nonsense 1",
      "/set top-p 7",
      "/system Be brief.",
      "/stats",
    ]);
    expect(code).toBe(0);
    const [france, spain, again] = out.trim().split("\n");
    expect([france, spain]).toEqual(["The capital of France is Paris.", expect.stringContaining("Madrid")]);
    expect(again).toContain("Paris");
    expect(err).toContain("nothing was said yet\n");
    expect(err).toContain("taken back: What is the capital of Spain?\n");
    expect(err).toMatch(
      /user: What is the capital of France\?\nassistant: The capital of France is Paris\.\ncache k8v8/,
    );
    expect(err).toContain("greedy answers are always the same");
    expect(err).toMatch(/^temperature +0\.5 *$/m);
    expect(err).toMatch(/no setting nonsense; there are temperature/);
    expect(err).toMatch(/topP: expected a number from 0 to 1, got 7/);
    expect(err).toContain("Be brief.\n");
    expect(err).toMatch(/KV cache, k8v8 +\d/);
  });

  it("several lines are one message between quotes, or behind backslashes", async () => {
    const { out, err } = await chat(['"""What is the capital', 'of France?"""', "And \\", "of Spain?", "/history"]);
    expect(out.trim().split("\n")).toHaveLength(2);
    expect(err).toMatch(/user: What is the capital\nof France\?\nassistant: .*\nuser: And \nof Spain\?\n/);
  });

  it("where the context is full the oldest turns are forgotten, or the answer ends and says so", async () => {
    const questions = ["France", "Spain", "Italy"].map((country) => `What is the capital of ${country}?`);
    const small = ["-c", "48", "--kv", "k4v4,window=16"];
    const shifted = await chat(questions, {}, small);
    expect(shifted.out).toMatch(/Paris[\s\S]*Madrid[\s\S]*Rome/);
    expect(shifted.err).toMatch(/the context is full: the oldest turn is forgotten|the oldest 2 turns are forgotten/);
    const stopped = await chat(questions, {}, [...small, "--no-context-shift"]);
    expect(stopped.err).toMatch(
      /the context of 48 tokens is full; \/undo or \/reset makes room|do not fit the context of 48/,
    );
  });

  it("a base model has no chat", async () => {
    // An embedded checkpoint without its template files.
    const model = join(folder, "base");
    const source = new URL("../../models/qwen3-1m/", import.meta.url);
    const { cpSync } = await import("node:fs");
    cpSync(source, model, { recursive: true, filter: (path) => !path.endsWith("chat_template.jinja") });
    const config = JSON.parse(readFileSync(join(model, "tokenizer_config.json"), "utf8"));
    delete config.chat_template;
    writeFileSync(join(model, "tokenizer_config.json"), JSON.stringify(config));
    const { code, err } = await runCommand([...CHAT, "-m", model]);
    expect(code).toBe(2);
    expect(err).toMatch(/has no chat template.*run --raw/);
  });
});

describe("/save and /load", () => {
  it("a loaded conversation goes on where it stopped, without reading its text again", async () => {
    const file = join(folder, "talk.tqkv");
    const lines = ["What is the capital of France?", `/save ${file}`];
    const next = "What is the capital of Spain?";
    const straight = await chat([lines[0]!, next], {}, ["--json"]);
    await chat(lines);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    const resumed = await chat([`/load ${file}`, next, "What is the capital of Italy?"], {}, ["--json"]);
    const [want, got] = [straight.out.split("\n")[1]!, resumed.out.split("\n")[0]!].map((line) => JSON.parse(line!));
    expect(got.text).toBe(want.text);
    // The end marker of the first answer is said but not cached; only the template's way repeats it in the prompt.
    expect(got.usage).toEqual({ ...want.usage, promptTokens: want.usage.promptTokens - 1 });
    expect(JSON.parse(resumed.out.split("\n")[1]!).text).toContain("Rome");
    const inspected = await runCommand(["inspect", file, "--json"]);
    expect(JSON.parse(inspected.out)).toMatchObject({ kv: "k4v4", file });
  });

  it("another format or a flipped byte is refused and the running conversation stays", async () => {
    const file = join(folder, "other.tqkv");
    await chat(["What is the capital of France?", `/save ${file}`]);
    const other = await chat([`/load ${file}`, "/stats"], {}, ["--kv", "k8v8"]);
    expect(other.err).toContain(`error: ${file}: snapshot: it has another KV format`);
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(file, bytes);
    const damaged = await chat([`/load ${file}`, "What is the capital of France?"]);
    expect(damaged.err).toContain(`error: ${file}: snapshot: damaged`);
    expect(damaged.out).toContain("Paris");
    const inspected = await runCommand(["inspect", file]);
    expect(inspected.code).toBe(2);
    expect(inspected.err).toContain(`error: ${file}: snapshot: damaged`);
  });

  it("a place that cannot be written leaves nothing behind", async () => {
    const { err } = await chat(["What is the capital of France?", `/save ${join(folder, "no/such/folder.tqkv")}`]);
    expect(err).toMatch(/no\/such\/folder\.tqkv: there is no such file or folder \(ENOENT\)/);
    expect(existsSync(join(folder, "no"))).toBe(false);
  });
});

describe("Ctrl-C", () => {
  it("stops an answer, and the chat goes on with what was said", async () => {
    let pressed = false;
    const { code, out, err } = await chat(["Tell me a long story.", "/exit"], {
      onStdout: (text, io) => {
        if (text.length > 2 && !pressed) {
          pressed = true;
          io.interrupt();
        }
      },
    });
    expect(code).toBe(0);
    expect(err).toContain("(stopped)");
    expect(out.length).toBeGreaterThan(2);
  });

  it("twice at the prompt leaves with 130", async () => {
    const stdin = new PassThrough();
    let presses = 0;
    const running = runCommand([...CHAT], {
      stdin,
      onStdout: (text, io) => {
        if (!text.endsWith("\n") || presses++) return;
        setTimeout(() => io.interrupt(), 20);
        setTimeout(() => io.interrupt(), 40);
      },
    });
    stdin.write("What is the capital of France?\n");
    const { code, err } = await running;
    expect(code).toBe(130);
    expect(err).toMatch(/Ctrl-C again, or \/exit, to leave/);
  });
});
