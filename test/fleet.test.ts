/** @file Runs the commands of docs/fleet.md: two servers, what a router asks of them, a conversation that moves, and a router where one is installed. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { runCli } from "../src/cli/run-cli.ts";
import { type CapturedIo, captureIo } from "./support/cli-io.ts";
import { freePort } from "./support/free-port.ts";
import { replay, unpack } from "./support/kv-events.ts";
import { skipReason } from "./support/optional.ts";
import { until } from "./support/server.ts";
import { repoRoot } from "./support/shared.ts";

const docs = readFileSync(join(repoRoot, "docs/fleet.md"), "utf8");
const blocks = [...docs.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, code]) => code!);
const curlBlocks = blocks.filter((code) => code.includes("curl"));
const serveLines = [...docs.matchAll(/^npx turboquant (serve .*) &$/gm)].map(([, line]) => line!.split(" "));
const [, events] = /^npx turboquant (serve .* --kv-events .*)$/m.exec(docs)!;
const [, launch] = /^smg (launch .*)$/m.exec(docs)!;
const curlSkip = skipReason("curl", spawnSync("curl", ["--version"]).status === 0, "install curl");
const smg = process.env["SMG"] ?? "smg";
const smgSkip = skipReason("smg", spawnSync(smg, ["--help"]).status === 0, "pip install smg, or name it in SMG");

interface Served {
  readonly address: string;
  readonly url: string;
  readonly kvEventsReplay: string;
  readonly io: CapturedIo;
  readonly code: Promise<number>;
}

let folder: string;
let servers: readonly Served[];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "fleet-"));
  servers = await Promise.all(serveLines.map(serve));
});
afterAll(async () => {
  for (const { io } of servers) io.terminate();
  expect(await Promise.all(servers.map(({ code }) => code))).toEqual(servers.map(() => 0));
  rmSync(folder, { recursive: true });
});

/** The command in this process, on a free port. */
async function serve(argv: readonly string[]): Promise<Served> {
  const port = argv[argv.indexOf("--port") + 1]!;
  const own = argv.map((arg) =>
    arg === port
      ? "0"
      : arg
          .replace(/^conversations$/, folder)
          .replace(":pages", `:${folder}`)
          .replace(/^'(tcp:.*:)\d+'$/, "$10"),
  );
  const io = captureIo();
  const code = runCli([...own, "-t", "1", "--json"], io);
  await until(() => io.out().endsWith("\n"), "the server listens");
  const { url, kvEventsReplay = "" } = JSON.parse(io.out());
  return { address: `http://127.0.0.1:${port}`, url, kvEventsReplay, io, code };
}

const placed = (text: string): string =>
  servers.reduce((told, { address, url }) => told.replaceAll(address, url), text);

function run(command: string, args: readonly string[]): Promise<{ out: string; status: number | null }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { timeout: 60_000 });
    let out = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => {
        out += data;
      });
    }
    child.on("close", (status) => resolve({ out, status }));
  });
}

/** Waits until the first server with a store has written what it has. */
async function untilStored(): Promise<void> {
  const { url } = servers[2]!;
  const isEmpty = async (): Promise<boolean> =>
    /page_store_queue_bytes\{.*\} 0\n/.test(await (await fetch(`${url}/metrics`)).text());
  await until(isEmpty, "what the server has is stored");
}

describe("docs/fleet.md", () => {
  it.skipIf(curlSkip).each(curlBlocks.map((code) => [code.split("\n")[0], code]))("%s", async (_, code) => {
    if (code!.includes("page_store")) await untilStored();
    const { out, status } = await run("bash", ["-euc", placed(code!)]);
    expect({ out, status }).toEqual({ out: expect.not.stringContaining('"error":{'), status: 0 });
    if (code!.includes("/ready")) {
      expect(out).toContain('{"status":"ready"}');
      expect(out.match(/vllm:\w+\{.*\} \d/g)).toHaveLength(3);
    } else if (code!.includes("page_store")) {
      expect(out).toMatch(/page_store_fetches_total\{.*outcome="hit"\} 1\n/);
      const [answer] = out.split("\n");
      expect(JSON.parse(answer!.slice(0, answer!.lastIndexOf("}") + 1)).usage.prompt_tokens_details.cached_tokens).toBe(
        64,
      );
    } else if (code!.includes("/v1/completions")) expect(JSON.parse(out).usage.prompt_tokens).toBeGreaterThan(64);
    else {
      const answers = out
        .trim()
        .replaceAll("}{", "}\n{")
        .split("\n")
        .map((line) => JSON.parse(line));
      const [first, last] = [answers[0].usage, answers.at(-1).usage];
      expect(last.prompt_tokens_details.cached_tokens).toBe(first.total_tokens - 1);
    }
  });

  it("every name that a router reads is published, or said to be absent", async () => {
    const rows = [...docs.matchAll(/^\| (`[^|]*) \| [^|]* \| ([^|]*) \|$/gm)];
    const [server] = servers;
    const body = JSON.stringify({ messages: [{ role: "user", content: "Where is Rome?" }], max_tokens: 1 });
    expect((await fetch(`${server!.url}/v1/chat/completions`, { method: "POST", body })).status).toBe(200);
    const text = await (await fetch(`${server!.url}/metrics`)).text();
    const isThere = (name: string): boolean => new RegExp(`^vllm:${name}\\{[^}]*\\} [\\d.]+$`, "m").test(text);
    const found = rows.flatMap(([, names, here]) =>
      [...names!.matchAll(/`([a-z_]+)`/g)].map(
        ([, name]) => [name!, isThere(name!), here!.startsWith("absent")] as const,
      ),
    );
    expect(found.length).toBeGreaterThan(9);
    expect(found.filter(([, there, isAbsent]) => there === isAbsent)).toEqual([]);
    const [, size, blocks] = /^vllm:cache_config_info\{.*block_size="(\d+)",num_gpu_blocks="(\d+)"\} 1$/m.exec(text)!;
    expect([Number(size), Number(blocks) > 100]).toEqual([64, true]);
  });

  it("events of the cache tell what a server has of a chat", async () => {
    const { url, kvEventsReplay, io, code } = await serve(events!.split(" "));
    try {
      const messages = [{ role: "user", content: `The road was long. ${"It went on and on. ".repeat(20)}` }];
      const post = async (path: string, more: object = {}) => {
        const response = await fetch(url + path, { method: "POST", body: JSON.stringify({ messages, ...more }) });
        return response.json();
      };
      const { token_ids } = await post("/v1/chat/completions/render");
      await post("/v1/chat/completions", { max_tokens: 1, temperature: 0 });
      const [[topic, , payload]] = (await replay(kvEventsReplay.replace("0.0.0.0", "127.0.0.1"), 0n)) as [
        [Buffer, Buffer, Buffer],
      ];
      expect(topic.toString()).toBe("kv@127.0.0.1:8083@qwen3-3m");
      const [{ block_size, token_ids: stored }] = unpack(payload)[1];
      expect(stored).toEqual(token_ids.slice(0, Math.floor(token_ids.length / block_size) * block_size));
      expect(stored.length).toBeGreaterThan(100);
    } finally {
      io.terminate();
      await code;
    }
  });

  it.skipIf(smgSkip)(
    "a router sends a conversation where its prefix is, and away from a server that ends",
    async () => {
      const port = await freePort();
      const url = `http://127.0.0.1:${port}`;
      const metricsPort = await freePort();
      const args = placed(launch!).replace("8080", String(port)).split(" ");
      const router = spawn(smg, [...args, "--prometheus-port", String(metricsPort)], { stdio: "ignore" });
      try {
        const hasModels = async (): Promise<boolean> => {
          const { data = [] } = await fetch(`${url}/v1/models`).then(
            (response) => response.json(),
            () => ({}),
          );
          return data.length > 0;
        };
        await until(hasModels, "the router has models");
        const ask = async (messages: readonly object[]) => {
          const body = JSON.stringify({ model: "qwen3-3m", messages, max_tokens: 8, temperature: 0 });
          const headers = { "content-type": "application/json" };
          const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body });
          expect(response.status).toBe(200);
          return response.json();
        };
        for (let i = 0; i < 4; i++) {
          const messages = [{ role: "user", content: `Story ${i}: ${"the road was long and ".repeat(20)}the end.` }];
          const { choices } = await ask(messages);
          const { usage } = await ask([...messages, choices[0].message, { role: "user", content: "And then?" }]);
          expect(usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(100);
        }
        servers[0]!.io.terminate();
        for (let i = 0; i < 4; i++) await ask([{ role: "user", content: `Where is town ${i}?` }]);
      } finally {
        router.kill("SIGKILL");
      }
    },
  );
});
