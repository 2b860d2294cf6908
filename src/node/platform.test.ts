import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readText } from "../formats/file-source.ts";
import { getPlatform } from "../platform.ts";
import "./install.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "tq-platform-"));
  await writeFile(join(directory, "config.json"), "{}");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe("node platform", () => {
  it("opens a directory and the embedded models", async () => {
    const local = await getPlatform().openSource(directory);
    expect(await local.has("config.json")).toBe(true);
    await local.close();
    for (const name of ["qwen3-3m", "qwen3-1m"]) {
      const source = await getPlatform().openSource(name);
      expect(source.name).toBe(name);
      expect(JSON.parse(await readText(source, "config.json")).model_type).toBe("qwen3");
      await source.close();
    }
  });

  it("says what a reference may be", async () => {
    await expect(getPlatform().openSource(join(directory, "config.json"))).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("expected a directory with config.json"),
    });
    for (const ref of ["qwen9-3m", "./no/such/place", "../nowhere", "a/b/c", ""]) {
      await expect(getPlatform().openSource(ref)).rejects.toMatchObject({
        code: "invalid_argument",
        message: expect.stringMatching(
          /expected a directory, a \.gguf file, .*DIR:Q4_K_M.*, a name on the hub .* or an embedded model .*qwen3-3m/,
        ),
      });
    }
  });

  it("starts a worker from source text, reports its errors and stops it quietly", async () => {
    const echo = getPlatform().spawnWorker(
      "const { parentPort } = require('node:worker_threads'); parentPort.once('message', ({ shared }) => {" +
        "Atomics.store(new Int32Array(shared), 0, 7); Atomics.notify(new Int32Array(shared), 0); });",
    );
    const shared = new SharedArrayBuffer(4);
    echo.postMessage({ shared });
    Atomics.wait(new Int32Array(shared), 0, 0, 5000);
    expect(new Int32Array(shared)[0]).toBe(7);

    const broken = getPlatform().spawnWorker("throw new Error('deliberate')");
    const error = await new Promise<Error>((resolve) => broken.onError(resolve));
    expect(error.message).toBe("deliberate");

    const errors: Error[] = [];
    const idle = getPlatform().spawnWorker("require('node:worker_threads').parentPort.on('message', () => {})");
    idle.onError((e) => errors.push(e));
    await idle.terminate();
    expect(errors).toEqual([]);
    expect(getPlatform().concurrency).toBeGreaterThanOrEqual(1);
  });
});
