/** @file The commands of "Many hosts" in docs/lab.md, on one host with a Redis of its own: the rows are those of a sweep without them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PROMPT } from "../src/cli/default-prompt.ts";
import { runCli } from "../src/cli/run-cli.ts";
import type { SweepRow } from "../src/lab/sweep-row.ts";
import "../src/node/install.ts";
import { captureIo, runCommand } from "./support/cli-io.ts";
import { writeRandomCheckpoint } from "./support/fake-checkpoint.ts";
import { NO_REDIS, startRedis, type TestRedis } from "./support/redis.ts";
import { until } from "./support/server.ts";
import { repoRoot } from "./support/shared.ts";

/** The lines of the block, as arguments of turboquant. */
const [, block] = /<!-- test: many hosts -->\n```sh\n([\s\S]*?)```/.exec(
  readFileSync(join(repoRoot, "docs/lab.md"), "utf8"),
)!;
const commands = block!
  .trim()
  .split("\n")
  .map((line) => line.replace(/#.*/, "").trim().split(/\s+/).slice(1));

describe.skipIf(NO_REDIS !== null)(`a sweep on many hosts${NO_REDIS ? ` (${NO_REDIS})` : ""}`, () => {
  let folder: string;
  const file = (name: string) => join(folder, name);
  let redis: TestRedis;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "sweep-queue-"));
    redis = await startRedis();
    writeRandomCheckpoint(file("models/small"));
    writeFileSync(file("text.txt"), DEFAULT_PROMPT);
    const parameters = { model: "small", ctx: 128, recipe: ["paper", "ours"], bits: [2, 4], sinks: 0, window: 0 };
    writeFileSync(file("small.jsonc"), JSON.stringify({ name: "small", chunks: 1, parameters }));
  });
  afterAll(async () => {
    await redis?.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  const models = () => ["--models", file("models")];
  const sweepFlags = (store: string) => [
    ...["--space", file("small.jsonc"), "--text", file("text.txt"), "--store", file(store), ...models()],
  ];
  const figuresOf = (store: string) =>
    readFileSync(join(file(store), "results.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line): SweepRow => JSON.parse(line))
      .map(({ date: _date, sweepSeconds: _at, ...row }) => ({ ...row, seconds: 0 }))
      .sort((a, b) => (a.id < b.id ? -1 : 1));

  it("the commands of the document give the rows of one host", async () => {
    expect(commands.map(([name]) => name)).toEqual(["sweep", "sweep-worker"]);
    const [sweep, worker] = commands.map((argv) => argv.map((arg) => arg.replace("redis://host:6379/0", redis.url)));
    const io = captureIo();
    const served = runCli([...worker!, "--workers", "0", ...models()], io);
    const queued = await runCommand([...sweep!, ...sweepFlags("queued"), "--json"]);
    io.terminate();
    expect([queued.code, await served], queued.err + io.err()).toEqual([0, 0]);
    expect(JSON.parse(queued.out)).toMatchObject({ done: 4, total: 4, added: 4, failed: 0 });
    expect(io.out()).toMatch(/^\d tasks done\n$/);
    const local = await runCommand(["sweep", ...sweepFlags("local"), "--workers", "0", "--quiet"]);
    expect(local.code, local.err).toBe(0);
    expect(figuresOf("queued")).toEqual(figuresOf("local"));
    // Nothing is left to do, so no worker is needed.
    const again = await runCommand([...sweep!, ...sweepFlags("queued"), "--json"]);
    expect(JSON.parse(again.out)).toMatchObject({ done: 4, added: 0 });
    expect(again.err).toMatch(
      /note: no worker serves the queue yet; on any host: turboquant sweep-worker --queue redis:/,
    );
  });

  it("Ctrl-C ends a sweep and a worker; tasks that no worker has begun are taken back", async () => {
    const queue = ["--queue", redis.url, "--queue-name", "stopped"];
    const io = captureIo();
    const stopped = runCli(["sweep", ...queue, ...sweepFlags("stopped")], io);
    const { Redis } = await import("ioredis");
    const client = new Redis(redis.url);
    const waiting = () => client.llen("turboquant:stopped:wait");
    await until(async () => (await waiting()) >= 4, "four tasks on the server");
    io.interrupt();
    expect(await stopped).toBe(130);
    expect(io.err()).toMatch(
      /0 finished runs are kept in .*stopped; run the same command again to go on\n\ninterrupted\n$/,
    );
    expect(await waiting()).toBe(0);
    client.disconnect();
    const worker = await runCommand(["sweep-worker", ...queue, "--workers", "0"], {
      onStderr: (text, own) => {
        if (text.includes("Ctrl-C ends it")) own.interrupt();
      },
    });
    expect([worker.code, worker.out]).toEqual([130, "0 tasks done\n"]);
  });

  it("a worker without a server is told which", async () => {
    const { code, err } = await runCommand(["sweep-worker"]);
    expect([code, err]).toEqual([2, "error: sweep-worker: expected --queue, the server that the sweep names\n"]);
  });
});
