/** @file Runs the examples of docs/server.md against a real server, so that they stay true. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transform } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../src/cli/run-cli.ts";
import { slotFiles } from "../src/node/slot-files.ts";
import { captureIo } from "./support/cli-io.ts";
import { skipReason } from "./support/optional.ts";
import { startServer, type TestServer, until } from "./support/server.ts";
import { repoRoot } from "./support/shared.ts";

const ADDRESS = "http://127.0.0.1:8080";
const docs = readFileSync(join(repoRoot, "docs/server.md"), "utf8");
const blocks = (language: string): string[] =>
  [...docs.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g"))].map(([, code]) => code!);
/** The load test is a command of five minutes. */
const curlBlocks = blocks("sh").filter((code) => code.includes("curl"));
const shellBlocks = curlBlocks.filter((code) => code.includes(ADDRESS));
/** Of a server with several models, and the command that begins it. */
const OTHER = "http://127.0.0.1:8081";
const ofSeveral = curlBlocks.filter((code) => code.includes(OTHER));
const [, several] = /^npx turboquant (serve .*--port 8081)$/m.exec(docs)!;
const curlSkip = skipReason("curl", spawnSync("curl", ["--version"]).status === 0, "install curl");

let server: TestServer;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "server-docs-"));
  symlinkSync(join(repoRoot, "node_modules"), join(folder, "node_modules"));
  server = await startServer({ server: { slotStore: slotFiles(folder) } });
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** The server is in this process: a synchronous call would wait for itself. */
function run(command: string, args: readonly string[]): Promise<{ out: string; err: string; status: number | null }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { timeout: 60_000 });
    let [out, err] = ["", ""];
    child.stdout.on("data", (data) => {
      out += data;
    });
    child.stderr.on("data", (data) => {
      err += data;
    });
    child.on("close", (status) => resolve({ out, err, status }));
  });
}

describe("docs/server.md", () => {
  it.skipIf(curlSkip).each(shellBlocks.map((code) => [code.split("\n")[0], code]))("%s", async (_, code) => {
    const { out, err, status } = await run("bash", ["-euc", code!.replaceAll(ADDRESS, server.url)]);
    expect({ err, status }).toEqual({ err: "", status: 0 });
    expect(out).not.toContain('"error":{');
    expect(out.length).toBeGreaterThan(20);
  });

  it.each(
    [
      ["OpenAI's client", /Madrid[\s\S]*\n\d+ \+ \d+ tokens\n$/],
      ["other clients", /^\[ \{ type: 'text', text: '.*Rome.*' \} \]\n(?:\{ city: '(?:Paris|Rome)' \}\n){2}$/],
    ].map((one, i) => [...one, blocks("ts")[i]!] as [string, RegExp, string]),
  )("the example of %s prints answers", async (name, said, code) => {
    const file = join(folder, `${name.replaceAll(/\W/g, "-")}.mjs`);
    const script = await transform(code.replace(ADDRESS, server.url), { loader: "ts", format: "esm" });
    writeFileSync(file, script.code);
    const { out, err, status } = await run(process.execPath, [file]);
    expect({ err, status }).toEqual({ err: "", status: 0 });
    expect(out).toMatch(said);
  });

  it.skipIf(curlSkip)("several models are loaded when they are asked for, and unloaded", async () => {
    const io = captureIo();
    const code = runCli([...several!.replace("8081", "0").split(" "), "-t", "1", "--json"], io);
    await until(() => io.out().endsWith("\n"), "the server listens");
    const { url, models } = JSON.parse(io.out());
    expect(models).toEqual(["qwen3-3m", "small"]);
    expect(ofSeveral).toHaveLength(1);
    const { out, status } = await run("bash", ["-euc", ofSeveral[0]!.replaceAll(OTHER, url)]);
    expect(status).toBe(0);
    expect(out).toMatch(/"model":"small".*"value":"unloaded"\}.*"value":"loaded","memory":\d+\}.*\{"success":true\}$/s);
    io.terminate();
    expect(await code).toBe(0);
  });

  it("names every option of `serve` that it mentions as it is", async () => {
    const { runCommand } = await import("./support/cli-io.ts");
    const { out } = await runCommand(["serve", "--help"]);
    const mentioned = new Set([...docs.matchAll(/`(--[a-z-]+)/g)].map(([, name]) => name!));
    expect(mentioned.size).toBeGreaterThan(10);
    for (const name of mentioned) expect(out, name).toContain(name);
  });
});
