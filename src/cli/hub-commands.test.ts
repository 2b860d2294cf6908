/** @file Models named as on the hub, in commands as a user types them. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import "../node/install.ts";
import { captureIo, runCommand } from "../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { writeGguf } from "../../test/support/gguf-file.ts";
import { folderAsGguf } from "../../test/support/gguf-model.ts";
import { HubServer, sha256 } from "../../test/support/hub-server.ts";
import { readText } from "../formats/file-source.ts";
import { openCheckpoint } from "../formats/open-checkpoint.ts";
import { findCalibration } from "../models/calibration-file.ts";
import { findOllamaModel, ollamaCalibration, ollamaSource } from "../node/shelf/ollama-store.ts";
import { runCli } from "./run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "tq-hub-cli-"));
let hub: HubServer;
let gguf: Uint8Array;

beforeAll(async () => {
  hub = await HubServer.start();
  const checkpoint = join(folder, "checkpoint");
  writeRandomCheckpoint(checkpoint);
  const files = Object.fromEntries(readdirSync(checkpoint).map((name) => [name, readFileSync(join(checkpoint, name))]));
  hub.repos.set("org/tiny", { files: { ...files, "README.md": "---\nlicense: apache-2.0\n---\n" } });
  gguf = writeGguf(await folderAsGguf(checkpoint));
  hub.repos.set("org/tiny-GGUF", {
    files: { "tiny-F32.gguf": gguf, "tiny-Q8_0.gguf": new Uint8Array(5000), "mmproj-F16.gguf": new Uint8Array(10) },
  });
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  vi.stubEnv("HF_HOME", join(folder, "hf"));
  vi.stubEnv("HF_HUB_CACHE", "");
  vi.stubEnv("HF_TOKEN", "");
  vi.stubEnv("HF_HUB_OFFLINE", "");
  vi.stubEnv("LLAMA_CACHE", join(folder, "llama.cpp"));
  vi.stubEnv("OLLAMA_MODELS", join(folder, "ollama"));
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
    await vi.waitFor(
      () => expect(hub.seen.some(({ server, path }) => server === "store" && /model/.test(path))).toBe(true),
      60_000,
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
    [["pull", "org/name:"], /pull: expected a name on the hub/],
    [["pull", "org/none"], /hub: org\/none: .*no such model on the hub/],
    [["pull", "org/tiny:Q4_K_M"], /hub: org\/tiny has no GGUF files but safetensors; name it without the colon/],
    [["run", "-m", "org/none:Q4_K_M", "hi"], /hub: org\/none:Q4_K_M: .*no such model on the hub/],
    [
      ["run", "-m", "ftp://example.com/x.gguf", "hi"],
      /model: expected a directory, a \.gguf file, .*, a name on the hub/,
    ],
  ])("%j is one message and exit code 2", async (argv, message) => {
    const { code, out, err } = await runCommand(argv);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(message);
    expect(err).not.toContain("    at ");
  });
});

describe("the shelf", () => {
  const run = (ref: string) => runCommand(["run", "-m", ref, "-t", "1", "-n", "2", "--raw", "hi"]);
  const json = async (...argv: string[]) => JSON.parse((await runCommand([...argv, "--json"])).out);
  const listed = async () =>
    (await json("list")).models
      .filter(({ origin }: { origin: string }) => origin !== "package")
      .map(({ name, quant, bytes, isWhole }: Record<string, unknown>) => [name, quant, bytes, isWhole]);
  const repo = join(folder, "hf/hub/models--org--tiny-GGUF");

  beforeAll(() => {
    rmSync(join(folder, "hf"), { recursive: true, force: true });
    mkdirSync(join(folder, "llama.cpp"));
    writeFileSync(join(folder, "llama.cpp/org_tiny-F32.gguf"), gguf);
    writeFileSync(join(folder, "llama.cpp/org_tiny-F32.gguf.etag"), "x");
    const manifests = join(folder, "ollama/manifests/registry.ollama.ai/library/tiny");
    mkdirSync(manifests, { recursive: true });
    mkdirSync(join(folder, "ollama/blobs"));
    const license = new TextEncoder().encode("\nMIT License\n");
    const blobs = { model: gguf, license };
    for (const bytes of Object.values(blobs))
      writeFileSync(join(folder, `ollama/blobs/sha256-${sha256(bytes)}`), bytes);
    const layers = Object.entries(blobs).map(([kind, bytes]) => ({
      mediaType: `application/vnd.ollama.image.${kind}`,
      digest: `sha256:${sha256(bytes)}`,
      size: bytes.length,
    }));
    writeFileSync(join(manifests, "1b"), JSON.stringify({ schemaVersion: 2, layers }));
    writeFileSync(join(manifests, "copy"), JSON.stringify({ schemaVersion: 2, layers: layers.slice(0, 1) }));
    writeFileSync(join(manifests, "damaged"), "{");
    // A model that Ollama has pulled from the hub.
    const ofHub = join(folder, "ollama/manifests/hf.co/org/tiny");
    mkdirSync(ofHub, { recursive: true });
    writeFileSync(join(ofHub, "F32"), JSON.stringify({ schemaVersion: 2, layers: layers.slice(0, 1) }));
  });

  it("a GGUF file of the hub is shown and planned without a download, and pulled when it is run", async () => {
    hub.seen.length = 0;
    const { place, model } = await json("show", "org/tiny-GGUF:f32");
    expect(place).toMatchObject({
      name: "org/tiny-GGUF:F32",
      origin: "remote",
      path: null,
      quant: "F32",
      bytes: gguf.length,
    });
    expect(model).toMatchObject({ numLayers: 4, fingerprint: null });
    // The list of the repository, twice, and the beginning of the file with its redirect.
    expect(hub.seen.filter(({ server }) => server === "hub")).toHaveLength(5);
    expect(hub.seen.flatMap(({ range }) => range ?? [])).toEqual(Array(2).fill(`bytes=0-${gguf.length - 1}`));
    expect((await json("plan", "-m", "hf.co/org/tiny-GGUF:F32", "--memory", "8GB")).fits).toBe(true);
    expect(hub.seen.filter(({ server }) => server === "store").every(({ range }) => range !== undefined)).toBe(true);
    expect(existsSync(repo)).toBe(false);
    expect(await run("org/tiny-GGUF:F32")).toMatchObject({ code: 0 });
    expect((await json("show", "org/tiny-GGUF")).place).toMatchObject({
      origin: "hub",
      path: join(repo, "snapshots/0123456789abcdef0123456789abcdef01234567/tiny-F32.gguf"),
      files: [{ path: "tiny-F32.gguf", size: gguf.length }],
      revision: "0123456789abcdef0123456789abcdef01234567",
    });
  });

  it("lists what every tool has, and runs it by that name", async () => {
    await runCommand(["pull", "org/tiny"]);
    await runCommand(["pull", "org/tiny-GGUF:Q8_0"]);
    writeFileSync(join(repo, "blobs/x.turboquant.incomplete"), "half");
    const names = await listed();
    expect(names).toEqual([
      ["org/tiny", null, expect.any(Number), true],
      ["org/tiny-GGUF:Q8_0", "Q8_0", 5000, true],
      ["org/tiny-GGUF:F32", "F32", gguf.length, true],
      ["org/tiny-GGUF", null, 4, false],
      ["llama.cpp:org_tiny-F32.gguf", "F32", gguf.length, true],
      ["ollama:hf.co/org/tiny:F32", "F32", gguf.length, true],
      ["ollama:tiny:1b", null, gguf.length, true],
      ["ollama:tiny:copy", null, gguf.length, true],
    ]);
    rmSync(join(repo, "blobs/x.turboquant.incomplete"));
    for (const ref of ["llama.cpp:org_tiny-F32", "ollama:hf.co/org/tiny:F32"])
      expect(await run(ref), ref).toMatchObject({ code: 0 });
    const { out } = await runCommand(["list"]);
    expect(out).toMatch(/^org\/tiny-GGUF:F32 +F32 +\S+ kB +\d{4}-\d\d-\d\d +hub$/m);
    expect(out).toMatch(/^qwen3-3m +safetensors .* this package$/m);
  });

  it("shows the licence, and where files of each kind lie", async () => {
    expect((await json("show", "org/tiny")).place).toMatchObject({ license: "apache-2.0", origin: "hub", quant: null });
    expect((await json("show", "ollama:tiny:1b")).place).toMatchObject({ license: "MIT License", origin: "ollama" });
    expect((await json("show", "qwen3-1m")).place).toMatchObject({ origin: "package" });
    expect((await json("show", join(folder, "llama.cpp/org_tiny-F32.gguf"))).place).toMatchObject({
      origin: "files",
      quant: "F32",
    });
    const { out } = await runCommand(["show", "llama.cpp:org_tiny-F32.gguf"]);
    expect(out).toMatch(
      /^from +llama\.cpp's cache\npath +.*\/llama\.cpp\/org_tiny-F32\.gguf\nfiles +\S+ kB in 1: org_tiny-F32\.gguf$/m,
    );
    expect(out).toMatch(/^license +not said\n\nmodel /m);
  });

  it("a calibration of an Ollama model lies in the hub's cache and is found there", async () => {
    const model = await findOllamaModel("ollama:tiny:1b");
    const path = ollamaCalibration(model);
    expect(path).toBe(join(folder, `hf/hub/ollama/sha256-${sha256(gguf)}.kv_calibration.safetensors`));
    const source = ollamaSource(model);
    expect(await findCalibration(source, await openCheckpoint(source))).toBeNull();
    mkdirSync(dirname(path));
    writeFileSync(path, "x");
    const file = await findCalibration(source, await openCheckpoint(source));
    expect(file && (await readText(source, file))).toBe("x");
    await source.close();
    const { code, err } = await runCommand(["calibrate", "-m", "ollama:tiny:1b"]);
    expect([code, err]).toEqual([2, expect.stringContaining(`${path} is there already; pass --force`)]);
    rmSync(dirname(path), { recursive: true });
  });

  it("a plan beyond the context of a GGUF file speaks of its metadata", async () => {
    const { out } = await runCommand(["plan", "-m", "llama.cpp:org_tiny-F32", "--memory", "8GB", "-c", "100000"]);
    expect(out).toMatch(
      /of context_length;.* rope\.scaling\.type yarn and rope\.scaling\.factor \S+ in the metadata of its GGUF file/,
    );
  });

  it("rm says what became free, and leaves what is not ours", async () => {
    writeFileSync(
      join(repo, "snapshots/0123456789abcdef0123456789abcdef01234567/tiny-Q8_0.kv_calibration.safetensors"),
      "x",
    );
    const { out } = await runCommand(["rm", "org/tiny-GGUF:Q8_0"]);
    expect(out).toBe("org/tiny-GGUF:Q8_0: 2 files removed, 5.00 kB free\n");
    expect(await run("org/tiny-GGUF:F32")).toMatchObject({ code: 0 });
    writeFileSync(join(repo, "snapshots/0123456789abcdef0123456789abcdef01234567/other.bin"), "mine");
    for (const [ref, message] of [
      ["org/tiny-GGUF", /other tools have put other\.bin beside the model; --force removes/],
      ["org/none", /org\/none is not on this machine; see turboquant list/],
      ["org/tiny-GGUF:Q8_0", /org\/tiny-GGUF:Q8_0 is not on this machine/],
      ["qwen3-3m", /part of this package/],
      [folder, /a file or folder of yours/],
      ["ollama:tiny:1b", /a model of Ollama; remove it there \(ollama rm tiny:1b\), or with --force/],
      [
        "ollama:none",
        /Ollama has no such model on this machine; it has ollama:hf\.co\/org\/tiny:F32, ollama:tiny:1b, ollama:tiny:copy/,
      ],
      ["llama.cpp:org_tiny-F32.gguf", /a file of llama\.cpp .*; --force removes it/],
      ["llama.cpp:org_tiny-F16.gguf", /no such file in .*; did you mean llama\.cpp:org_tiny-F32\.gguf\?/],
      ["..", /a file or folder of yours/],
    ] as const) {
      const { code, err } = await runCommand(["rm", ref]);
      expect([code, err], ref).toEqual([2, expect.stringMatching(message)]);
    }
    const { freedBytes, removed } = await json(
      "rm",
      "--force",
      "org/tiny-GGUF",
      "llama.cpp:org_tiny-F32.gguf",
      "ollama:tiny:1b",
    );
    expect(removed.map(({ name, files }: Record<string, unknown>) => [name, files])).toEqual([
      ["org/tiny-GGUF", 3],
      ["llama.cpp:org_tiny-F32.gguf", 1],
      // The copy has the same weights.
      ["ollama:tiny:1b", 1],
    ]);
    expect(freedBytes).toBeGreaterThan(2 * gguf.length);
    expect(readdirSync(join(folder, "llama.cpp"))).toEqual([]);
    await runCommand(["rm", "org/tiny"]);
    expect((await listed()).map(([name]: string[]) => name)).toEqual(["ollama:hf.co/org/tiny:F32", "ollama:tiny:copy"]);
    expect(readdirSync(join(folder, "hf/hub/.locks"))).toEqual([]);
  });
});
