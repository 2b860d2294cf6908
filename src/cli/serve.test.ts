/** @file `turboquant serve` as a process and as a command: start, mistakes, the web page, and a graceful end. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import "../node/install.ts";
import { captureIo, runCommand } from "../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { startServer } from "../../test/support/server.ts";
import { repoRoot } from "../../test/support/shared.ts";
import { CALIBRATION_FILE } from "../models/calibration-file.ts";
import { builtWebFiles } from "../node/web-files.ts";
import { runCli } from "./run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "serve-"));
const serve = (model: string): string[] => ["serve", "-m", model, "-t", "1", "--port", "0", "--json"];
/** In this process over random weights, as a process over an embedded model. */
const SERVE = serve(join(folder, "model"));
beforeAll(() => writeRandomCheckpoint(join(folder, "model")));
afterAll(() => rmSync(folder, { recursive: true }));
const LONG = { prompt: "Once upon a time", max_tokens: 400, ignore_eos: true, temperature: 0, stream: true };

/** Starts the command in this process; `url` comes when it listens. */
function start(argv: readonly string[] = []) {
  let listening: (value: { url: string; kv: string }) => void = () => {};
  const started = new Promise<{ url: string; kv: string }>((resolve) => {
    listening = resolve;
  });
  const io = captureIo({ onStdout: (text) => text.endsWith("\n") && listening(JSON.parse(text)) });
  return { io, started, code: runCli([...SERVE, ...argv], io) };
}

const post = (url: string, body: object): Promise<Response> =>
  fetch(`${url}/v1/completions`, { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(60_000) });

describe("serve", () => {
  it("SIGTERM: what is at work is finished, what comes later is refused, the exit code is 0", async () => {
    const { io, started, code } = start(["--slot-save-path", join(folder, "new", "slots")]);
    const { url, kv } = await started;
    expect(io.err()).toContain(`"folder":"${join(folder, "new")}","msg":"--slot-save-path: made`);
    expect(kv).toBe("k4v4");
    const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
    expect(models.data.map(({ id }) => id)).toEqual(["model"]);
    const expected = await (await post(url, { ...LONG, stream: false })).json();
    const response = await post(url, LONG);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader.read()).value!;
    io.terminate();
    const asked = performance.now();
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
    const said = [...text.matchAll(/data: (\{.*\})/g)].map(([, json]) => JSON.parse(json!).choices[0].text).join("");
    expect(said).toBe((expected as { choices: [{ text: string }] }).choices[0].text);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(await code).toBe(0);
    expect(performance.now() - asked, "connections that are kept alive are not waited for").toBeLessThan(15_000);
    await expect(fetch(`${url}/health`)).rejects.toThrow();
    expect(io.err()).toContain('"msg":"shutting down"');
    expect(io.out().trim().split("\n")).toHaveLength(1);
  });

  it("Ctrl-C: the same, with 130; longer than --drain-timeout nothing is waited for", async () => {
    const { io, started, code } = start(["--drain-timeout", "0.2"]);
    const { url } = await started;
    const response = await post(url, { ...LONG, max_tokens: 4000 });
    const reader = response.body!.getReader();
    await reader.read();
    io.interrupt();
    const ended = (async () => {
      for (let next = await reader.read(); !next.done; next = await reader.read());
    })().catch(() => {});
    expect(await code).toBe(130);
    await ended;
  });

  it("a model without a calibration gets one while nobody asks, and answers go on with it", async () => {
    vi.stubEnv("TURBOQUANT_CALIBRATION", undefined);
    const file = join(folder, "model", CALIBRATION_FILE);
    try {
      const { io, started, code } = start();
      const { url } = await started;
      const ask = async () => (await post(url, { ...LONG, stream: false, max_tokens: 5 })).status;
      expect(await ask()).toBe(200);
      while (!io.err().includes('"msg":"calibrated"')) await new Promise((resolve) => setTimeout(resolve, 50));
      expect(existsSync(file)).toBe(true);
      expect(await ask()).toBe(200);
      io.terminate();
      expect(await code).toBe(0);
    } finally {
      vi.unstubAllEnvs();
      rmSync(file, { force: true });
    }
  });

  it("several models: each is loaded when it is asked for, and goes when another lacks room", async () => {
    writeRandomCheckpoint(join(folder, "other"), { max_position_embeddings: 1024 });
    const both = ["-m", join(folder, "other"), "-m", `org/named=${join(folder, "model")}`];
    const argv = ["serve", ...both, "-t", "1", "--port", "0", "--json", "--kv-budget", "4MB"];
    const begin = async (more: readonly string[] = []) => {
      let text = "";
      const io = captureIo({ onStdout: (out) => void (text = out) });
      const code = runCli([...argv, ...more], io);
      while (!text.endsWith("\n")) await new Promise((resolve) => setTimeout(resolve, 10));
      return { io, code, ...JSON.parse(text) };
    };
    const ask = async (url: string, model?: string) => {
      const response = await post(url, { prompt: "Once", max_tokens: 4, temperature: 0, model });
      return ((await response.json()) as { model: string }).model;
    };
    const listed = async (url: string) => {
      const { data } = (await (await fetch(`${url}/v1/models`)).json()) as {
        data: {
          id: string;
          max_model_len: number;
          meta: { size: number };
          status: { value: string; memory: number };
        }[];
      };
      return data.map(({ id, max_model_len, meta, status }) => ({ id, max_model_len, size: meta.size, ...status }));
    };
    const free = await begin();
    expect(free).toMatchObject({ model: "other", models: ["other", "org/named"], kv: "k4v4", kvBudgetBytes: 4e6 });
    const before = await listed(free.url);
    expect(before.map(({ value }) => value)).toEqual(["unloaded", "unloaded"]);
    expect([await ask(free.url), await ask(free.url, "org/named")]).toEqual(["other", "org/named"]);
    const loaded = await listed(free.url);
    expect(loaded).toMatchObject(before.map((model) => ({ ...model, value: "loaded" })));
    expect(before.map(({ max_model_len }) => max_model_len)).toEqual([1024, 4096]);
    free.io.terminate();
    expect(await free.code).toBe(0);
    const [one, two] = loaded.map(({ memory }) => memory);
    expect(one).toBeGreaterThan(4e6);
    const tight = await begin(["--memory", String(one! + two! - 1000)]);
    for (const name of ["other", "org/named", "other"]) expect(await ask(tight.url, name)).toBe(name);
    expect((await listed(tight.url)).map(({ value }) => value)).toEqual(["loaded", "unloaded"]);
    tight.io.terminate();
    expect(await tight.code).toBe(0);
    const lines = tight.io.err().match(/"msg":"(un)?loaded"/g);
    expect(lines?.map((line: string) => line.slice(7, -1))).toEqual([
      "loaded",
      "unloaded",
      "loaded",
      "unloaded",
      "loaded",
    ]);
  });

  it("mistakes are one sentence and exit code 2", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { port: number };
    const mistakes: [string[], string][] = [
      [["--port", String(port)], `cannot listen on 127.0.0.1:${port}: another program listens there`],
      [
        ["--api-key-file", "/no/such/file"],
        "--api-key-file /no/such/file: cannot be read: there is no such file or folder (ENOENT)",
      ],
      [["--slot-save-path", "LICENSE/slots"], "--slot-save-path LICENSE/slots: cannot be used (ENOTDIR)"],
      [["--log-level", "loud"], "Allowed choices are debug, info"],
      [["--port", "70000"], "Expected a whole number from 0 to 65535"],
      [["-m", join(folder, "model")], "two models are called model; give them names: --model NAME=REF"],
      [["-m", `b=${join(folder, "none")}`], 'got "'],
      [
        ["-m", `b=${join(folder, "model")}`, "--alias", "c"],
        "--alias: it is for one model; give each of several a name",
      ],
    ];
    for (const [argv, message] of mistakes) {
      const { code, err, out } = await runCommand([...SERVE, ...argv]);
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toContain(message);
    }
    taken.close();
  });

  it("as a process: Ctrl-C ends it and nothing is left behind", async () => {
    const tsx = pathToFileURL(join(repoRoot, "node_modules/tsx/dist/loader.mjs")).href;
    const child = spawn(process.execPath, ["--import", tsx, join(repoRoot, "src/cli/main.ts"), ...serve("qwen3-1m")], {
      env: { ...process.env, TURBOQUANT_API_KEY: "from-environment" },
    });
    let out = "";
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout.on("data", (data) => {
        out += data;
        if (out.endsWith("\n")) resolve(JSON.parse(out).url);
      });
      child.on("exit", () => reject(new Error("ended before it listened")));
    });
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    const authorization = "Bearer from-environment";
    expect((await fetch(`${url}/v1/models`, { headers: { authorization } })).status).toBe(200);
    const ended = new Promise<number | null>((resolve) => child.on("exit", resolve));
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(out.trim().split("\n")).toHaveLength(1);
  });
});

describe("the web page", () => {
  it("is served with the headers that threads need, and nothing from outside its folder", async () => {
    const folder = mkdtempSync(join(tmpdir(), "web-"));
    const web = join(folder, "web");
    expect(builtWebFiles(web)).toBeNull();
    mkdirSync(join(web, "assets"), { recursive: true });
    writeFileSync(join(folder, "secret.txt"), "secret");
    writeFileSync(join(web, "index.html"), "<!doctype html><title>x</title>");
    writeFileSync(join(web, "assets/app-Ab12Cd34.js"), "export {}");
    writeFileSync(join(web, "assets/large-Ab12Cd34.js"), "//".repeat(5000));
    const server = await startServer({
      fake: {},
      server: { staticFiles: builtWebFiles(web) },
    });
    const page = await fetch(`${server.url}/`);
    expect(await page.text()).toContain("<title>x</title>");
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page.headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(page.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
    expect(page.headers.get("cache-control")).toBe("no-cache");
    const script = await fetch(`${server.url}/assets/app-Ab12Cd34.js`);
    expect(script.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    expect(script.headers.get("cache-control")).toContain("immutable");
    expect(script.headers.get("content-encoding"), "too small").toBeNull();
    const large = await fetch(`${server.url}/assets/large-Ab12Cd34.js`, { headers: { "accept-encoding": "br" } });
    expect(large.headers.get("content-encoding")).toBe("br");
    expect(large.headers.get("vary")).toContain("accept-encoding");
    expect(await large.text()).toBe("//".repeat(5000));
    for (const path of [
      "/../secret.txt",
      "/%2e%2e/secret.txt",
      "/..%2fsecret.txt",
      "/assets/..%2f..%2fsecret.txt",
      "/%00",
      "/%ff",
      "/assets",
    ]) {
      const answer = await fetch(server.url + path);
      expect(answer.status, path).toBe(404);
      expect(((await answer.json()) as { error: { code: string } }).error.code).toBe("not_found");
    }
    await server.stop();
    rmSync(folder, { recursive: true });
  });
});
