/** @file Models named as on the hub, in commands as a user types them. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import "../node/install.ts";
import { captureIo, runCommand } from "../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { HubServer } from "../../test/support/hub-server.ts";
import { runCli } from "./run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "tq-hub-cli-"));
let hub: HubServer;

beforeAll(async () => {
  hub = await HubServer.start();
  const checkpoint = join(folder, "checkpoint");
  writeRandomCheckpoint(checkpoint);
  const files = Object.fromEntries(readdirSync(checkpoint).map((name) => [name, readFileSync(join(checkpoint, name))]));
  hub.repos.set("org/tiny", { files: { ...files, "README.md": "---\nlicense: apache-2.0\n---\n" } });
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  vi.stubEnv("HF_HOME", join(folder, "hf"));
  vi.stubEnv("HF_HUB_CACHE", "");
  vi.stubEnv("HF_TOKEN", "");
  vi.stubEnv("HF_HUB_OFFLINE", "");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  rmSync(folder, { recursive: true });
});

const SNAPSHOT = join(folder, "hf/hub/models--org--tiny/snapshots/0123456789abcdef0123456789abcdef01234567");

describe("pull and --model", () => {
  it("what a command pulls by name is there for the next, without the hub", async () => {
    const run = ["run", "-m", "hf.co/org/tiny", "-t", "1", "-n", "2", "--raw", "hi"];
    expect(await runCommand(run)).toMatchObject({ code: 0 });
    hub.seen.length = 0;
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    expect(await runCommand(run)).toMatchObject({ code: 0 });
    vi.stubEnv("HF_HUB_OFFLINE", "");
    expect(hub.seen).toEqual([]);
    const { code, out, err } = await runCommand(["pull", "org/tiny"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^org\/tiny {2}.* kB, all there already, revision 0123456789ab\n/);
    expect(out.endsWith(`${SNAPSHOT}\n`)).toBe(true);
    const { out: json } = await runCommand(["pull", "org/tiny", "--json"]);
    expect(JSON.parse(json)).toMatchObject({
      name: "org/tiny",
      downloadedBytes: 0,
      directory: SNAPSHOT,
      weights: null,
    });
  });

  it("Ctrl-C keeps what has come, and says so", async () => {
    rmSync(join(folder, "hf"), { recursive: true });
    hub.faults.push({ silentAfter: 5000 });
    hub.seen.length = 0;
    const io = captureIo();
    const ended = runCli(["pull", "org/tiny"], io);
    await vi.waitFor(() =>
      expect(hub.seen.some(({ server, path }) => server === "store" && /model/.test(path))).toBe(true),
    );
    io.interrupt();
    expect(await ended).toBe(130);
    expect(io.err()).toBe("stopped; the same command goes on from here\n\ninterrupted\n");
    expect(await runCommand(["pull", "org/tiny"])).toMatchObject({ code: 0 });
  });

  it.each([
    [["pull"], /missing required argument 'name'/],
    [["pull", "qwen3-3m"], /pull: qwen3-3m is part of this package/],
    [["pull", "./folder"], /pull: expected a name on the hub/],
    [["pull", "org/none"], /hub: org\/none: .*no such model on the hub/],
    [["pull", "org/tiny:Q4_K_M"], /hub: org\/tiny has no GGUF files but safetensors; name it without the colon/],
    [["run", "-m", "org/none:Q4_K_M", "hi"], /hub: org\/none:Q4_K_M: .*no such model on the hub/],
    [
      ["run", "-m", "ftp://example.com/x.gguf", "hi"],
      /model: expected a directory, a \.gguf file, a name on the hub/,
    ],
  ])("%j is one message and exit code 2", async (argv, message) => {
    const { code, out, err } = await runCommand(argv);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(message);
    expect(err).not.toContain("    at ");
  });
});
