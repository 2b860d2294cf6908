/** @file A model comes from the hub whole or not at all, whatever the network does. */
import { existsSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { gitHash, HubServer, sha256 } from "../../../test/support/hub-server.ts";
import { parseHubId } from "../../formats/hub-id.ts";
import type { ProgressEvent } from "../../platform.ts";
import { partialOf } from "./download-blob.ts";
import { findOrPull, type HubOptions, pullModel } from "./pull-model.ts";
import { RepoCache } from "./repo-cache.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const weights = new Uint8Array(300_000).map((_, i) => (i * 31) >> 3);
const config = "{}";
let hub: HubServer;
let cacheDir: string;
let options: HubOptions & { settings: NonNullable<HubOptions["settings"]> };

beforeEach(async () => {
  hub = await HubServer.start();
  cacheDir = await mkdtemp(join(tmpdir(), "tq-hub-"));
  options = { settings: { endpoint: hub.endpoint, cacheDir, token: null, isOffline: false }, firstWaitMs: 1 };
  hub.repos.set("org/tiny", {
    files: {
      "config.json": config,
      "tokenizer.json": "{ }",
      "README.md": "card",
      "consolidated.safetensors": "no",
      "model.safetensors": weights,
    },
  });
  hub.repos.set("org/tiny-GGUF", {
    files: {
      "tiny-Q4_K_M.gguf": weights.slice(0, 100_000),
      "tiny-Q8_0.gguf": weights.slice(0, 200_000),
      "mmproj-F16.gguf": "no",
    },
  });
});
afterEach(async () => {
  await hub.close();
  await rm(cacheDir, { recursive: true, force: true });
});

const id = (ref: string) => parseHubId(ref)!;
const pull = (ref: string, more: Partial<HubOptions> = {}) => pullModel(id(ref), { ...options, ...more });
const cacheOf = (repo: string) => new RepoCache(cacheDir, repo);
const partial = () => partialOf(cacheOf("org/tiny").blob(sha256(weights)));
/** For `every`; comparing arrays by the test library takes seconds. */
const sameAt = async (path: string) => {
  const bytes = await readFile(path);
  return (byte: number, i: number) => bytes[i] === byte;
};
const withToken = (token: string) => ({ settings: { ...options.settings, token } });

describe("pullModel", () => {
  it("lays files as the hub's own tools do, reports progress, and asks for nothing twice", async () => {
    hub.pageSize = 2;
    const events: ProgressEvent[] = [];
    const pulled = await pull("org/tiny", { onProgress: (event) => events.push(event) });
    const { folder } = cacheOf("org/tiny");
    expect(pulled.directory).toBe(join(cacheDir, "models--org--tiny", "snapshots", COMMIT));
    const names = ["README.md", "config.json", "model.safetensors", "tokenizer.json"];
    expect((await readdir(pulled.directory)).sort()).toEqual(names);
    expect(await readlink(join(pulled.directory, "model.safetensors"))).toBe(`../../blobs/${sha256(weights)}`);
    expect(await readlink(join(pulled.directory, "config.json"))).toBe(`../../blobs/${gitHash(Buffer.from(config))}`);
    expect(await readFile(join(folder, "refs", "main"), "utf8")).toBe(COMMIT);
    expect(weights.every(await sameAt(join(pulled.directory, "model.safetensors")))).toBe(true);
    const total = weights.length + 2 + 3 + 4;
    expect(pulled).toMatchObject({ bytes: total, downloadedBytes: total, weights: null });
    expect(events.at(-1)).toEqual({ phase: "download", item: "org/tiny", done: total, total, unit: "bytes" });

    hub.seen.length = 0;
    expect(await pull("org/tiny")).toMatchObject({ bytes: total, downloadedBytes: 0 });
    expect(hub.downloads()).toEqual([]);
  });

  it("downloads files that are equal once, and waits for nobody", async () => {
    const notes: string[] = [];
    hub.repos.set("org/twice", {
      files: { "config.json": config, "tokenizer.json": config, "model.safetensors": weights },
    });
    const pulled = await pull("org/twice", { onNote: (text) => notes.push(text) });
    expect(notes).toEqual([]);
    expect(hub.downloads().filter((path) => path.endsWith(".json"))).toHaveLength(1);
    expect(pulled).toMatchObject({ bytes: weights.length + 4, downloadedBytes: weights.length + 2 });
    for (const name of ["config.json", "tokenizer.json"])
      expect(await readFile(join(pulled.directory, name), "utf8")).toBe(config);
  });

  it("a new revision takes only what changed, and the old files stay", async () => {
    const old = await pull("org/tiny");
    const repo = hub.repos.get("org/tiny")!;
    repo.commit = "f".repeat(40);
    repo.files["config.json"] = '{"new":1}';
    hub.seen.length = 0;
    const pulled = await pull("org/tiny");
    expect([pulled.commit, hub.downloads()]).toEqual([repo.commit, ["config.json"]]);
    expect(await readFile(join(old.directory, "config.json"), "utf8")).toBe(config);
    expect((await findOrPull(id("org/tiny"), options)).directory).toBe(pulled.directory);
  });

  it.each([
    ["cut connections", [{ cutAfter: 100_000 }, { cutAfter: 50_000 }]],
    [
      "servers that fail",
      [
        { status: 503 },
        { status: 429, headers: { "retry-after": "0" } },
        { status: 429, headers: { ratelimit: '"resolvers";r=0;t=0' } },
      ],
    ],
    ["silence", [{ silentAfter: 1000 }]],
  ])("goes on after %s", async (_, faults) => {
    hub.repos.get("org/tiny")!.files = { "model.safetensors": weights, "config.json": config };
    hub.faults.push(...faults);
    const notes: string[] = [];
    // Longer than a busy machine takes to answer.
    await pull("org/tiny", { silenceMs: 3000, onNote: (text) => notes.push(text) });
    expect(notes).toHaveLength(faults.length);
    expect(notes[0]).toMatch(
      /^the hub (cut the connection|answered HTTP 503|broke off \(nothing came for 3 s\)); trying again in 1 s$/,
    );
    expect(existsSync(cacheOf("org/tiny").blob(sha256(weights)))).toBe(true);
    expect(existsSync(partial())).toBe(false);
  });

  it("asks for the rest by range, over the redirect, with the token for the hub alone", async () => {
    hub.repos.get("org/tiny")!.files = { "model.safetensors": weights, "config.json": config };
    hub.repos.get("org/tiny")!.isGated = true;
    hub.faults.push({ cutAfter: 100_000 });
    await pull("org/tiny", withToken("hf_test"));
    const store = hub.seen.filter(({ server }) => server === "store");
    // What was not read as the connection ended is lost with it, so how much was kept is not the same each time.
    expect(store.map(({ range }) => range)).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
    expect(Number(store[1]!.range!.match(/\d+/)![0])).toBeLessThanOrEqual(100_000);
    expect(new Set(store.map(({ authorization }) => authorization))).toEqual(new Set([undefined]));
    expect(
      hub.seen
        .filter(({ server }) => server === "hub")
        .every(({ authorization }) => authorization === "Bearer hf_test"),
    ).toBe(true);
  });

  it("what came before an abort is taken up by the next pull, and damage in it is found", async () => {
    const stop = new AbortController();
    const onProgress = ({ done }: ProgressEvent) => done > 100_000 && stop.abort();
    hub.faults.push({ silentAfter: 150_000 });
    await expect(pull("org/tiny", { signal: stop.signal, onProgress })).rejects.toMatchObject({ name: "AbortError" });
    const { size } = await lstat(partial());
    expect(size).toBeGreaterThan(90_000);
    expect(await cacheOf("org/tiny").commitOf("main"), "no revision refers to it").toBeNull();
    await expect(findOrPull(id("org/tiny"), { settings: { ...options.settings, isOffline: true } })).rejects.toThrow(
      /HF_HUB_OFFLINE/,
    );

    hub.seen.length = 0;
    // Small files come beside the large one, before the abort or not.
    const rest = weights.length - size,
      small = "{}{ }card".length;
    const { downloadedBytes } = await pull("org/tiny");
    expect(downloadedBytes, "what came now").toBeGreaterThanOrEqual(rest);
    expect(downloadedBytes, "what came now").toBeLessThanOrEqual(rest + small);
    expect(hub.seen.find(({ server }) => server === "store")!.range).toBe(`bytes=${size}-`);

    await rm(cacheDir, { recursive: true });
    await mkdir(dirname(partial()), { recursive: true });
    await writeFile(partial(), new Uint8Array(1000));
    await pull("org/tiny");
    expect(weights.every(await sameAt(cacheOf("org/tiny").blob(sha256(weights))))).toBe(true);
  });

  it("a server without ranges begins again", async () => {
    hub.repos.get("org/tiny")!.files = { "model.safetensors": weights, "config.json": config };
    hub.faults.push({ cutAfter: 1000 }, { ignoresRange: true });
    await pull("org/tiny");
    expect(weights.every(await sameAt(cacheOf("org/tiny").blob(sha256(weights))))).toBe(true);
  });

  it("refuses bytes of another hash, and nothing of them is left", async () => {
    hub.repos.get("org/tiny")!.files = { "model.safetensors": weights, "config.json": config };
    hub.faults.push({ isDamaged: true });
    await expect(pull("org/tiny")).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/model\.safetensors: 300000 bytes came that do not have the checksum/),
    });
    expect(await readdir(join(cacheOf("org/tiny").folder, "blobs"))).toEqual([gitHash(Buffer.from(config))]);
    expect(existsSync(join(cacheOf("org/tiny").folder, "refs"))).toBe(false);
  });

  it("a file that fails stops the others, of which what came is kept", async () => {
    const other = weights.slice(1);
    hub.repos.get("org/tiny")!.files["tokenizer.json"] = other;
    hub.faults.push({ silentAfter: 200_000 }, { isDamaged: true });
    await expect(pull("org/tiny")).rejects.toThrow(/do not have the checksum/);
    const left = (await readdir(join(cacheOf("org/tiny").folder, "blobs"))).filter((name) =>
      name.includes("incomplete"),
    );
    expect(left).toHaveLength(1);
  });

  it("two that pull the same load it once", async () => {
    const notes: string[] = [];
    const onNote = (text: string) => notes.push(text);
    const [a, b] = await Promise.all([pull("org/tiny", { onNote }), pull("org/tiny", { onNote })]);
    expect(a.directory).toBe(b.directory);
    expect(hub.downloads().filter((path) => path === "model.safetensors").length, "the hub and its store").toBe(2);
    expect(await readdir(join(cacheDir, ".locks", "models--org--tiny"))).toEqual([]);
  });

  it("a lock of a process that is gone is taken over", async () => {
    const lock = cacheOf("org/tiny").lock(sha256(weights));
    await mkdir(dirname(lock), { recursive: true });
    const { hostname } = await import("node:os");
    await writeFile(lock, `process 2147483647 of ${hostname()}\n`);
    await pull("org/tiny");
    expect(existsSync(lock)).toBe(false);
  });

  it("refuses a disk that is too small, before it downloads", async () => {
    await expect(pull("org/tiny", { freeBytes: async () => 2 ** 26 })).rejects.toMatchObject({
      code: "out_of_memory",
      message: expect.stringMatching(/org\/tiny needs 300 kB more in .*, where 67\.1 MB are free; make room/),
    });
    expect(hub.downloads()).toEqual([]);
  });

  it("a GGUF repository gives one file, of which the name says the quantization", async () => {
    expect(await pull("org/tiny-GGUF")).toMatchObject({
      name: "org/tiny-GGUF:Q4_K_M",
      weights: "tiny-Q4_K_M.gguf",
      bytes: 100_000,
    });
    expect(await pull("org/tiny-GGUF:q8_0")).toMatchObject({ name: "org/tiny-GGUF:Q8_0", weights: "tiny-Q8_0.gguf" });
    await expect(pull("org/tiny-GGUF:Q5_K_M")).rejects.toThrow(
      /org\/tiny-GGUF has no Q5_K_M; it has Q4_K_M, Q8_0; name one/,
    );
  });

  it("says what is wrong with a name, a token, a licence and a network", async () => {
    await expect(pull("org/none")).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(
        /^hub: org\/none: no such file or directory here, and no such model.*HF_TOKEN.*\(HTTP 401\)$/,
      ),
    });
    await expect(pull("org/none", withToken("hf_wrong"))).rejects.toThrow(/the hub does not know the token/);
    await expect(pull("org/tiny@v2")).rejects.toThrow(/there is no revision v2/);
    hub.repos.get("org/tiny")!.isGated = true;
    await expect(pull("org/tiny")).rejects.toThrow(
      /its licence has to be accepted; do so at .*\/org\/tiny and set HF_TOKEN/,
    );
    const nowhere = { settings: { ...options.settings, endpoint: "http://127.0.0.1:9" } };
    await expect(pull("org/tiny", nowhere)).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(
        /org\/tiny is not on this machine, and the hub cannot be reached.*127\.0\.0\.1:9; try again/,
      ),
    });
    hub.apiFaults.push(...Array.from({ length: 6 }, () => ({ status: 502 })));
    await expect(pull("org/tiny")).rejects.toThrow(/the hub answered HTTP 502/);
    hub.apiFaults.push({ status: 302, headers: { location: "file:///etc/passwd" } });
    await expect(pull("org/tiny")).rejects.toThrow(/redirects to an address that is not safe; check HF_ENDPOINT/);
    const circle = { status: 307, headers: { location: "/api/models/org/tiny/revision/main" } };
    hub.apiFaults.push(...Array.from({ length: 11 }, () => circle));
    await expect(pull("org/tiny")).rejects.toThrow(/redirects without an end/);
    hub.apiFaults.push({ status: 429, headers: { "retry-after": "3600" } });
    await expect(pull("org/tiny")).rejects.toThrow(/too many requests \(HTTP 429\)/);
  });

  it("without a network, what is there is used", async () => {
    await pull("org/tiny");
    await pull("org/tiny-GGUF:Q8_0");
    const offline = { settings: { ...options.settings, isOffline: true } };
    const nowhere = { settings: { ...options.settings, endpoint: "http://127.0.0.1:9" } };
    expect((await findOrPull(id("org/tiny"), offline)).weights).toBeNull();
    // Without a name the one that is there is meant.
    expect((await findOrPull(id("org/tiny-GGUF"), offline)).weights).toBe("tiny-Q8_0.gguf");
    // A file that only an older commit has here is named with it.
    hub.repos.get("org/tiny-GGUF")!.commit = "f".repeat(40);
    await pull("org/tiny-GGUF:tiny-Q4_K_M.gguf");
    for (const network of [offline, nowhere]) {
      expect((await findOrPull(id("org/tiny-GGUF:Q8_0"), network)).name).toBe(`org/tiny-GGUF@${COMMIT}:Q8_0`);
    }
    expect((await findOrPull(id("org/tiny-GGUF:Q8_0"), options)).commit).toBe("f".repeat(40));
    await expect(findOrPull(id("org/tiny-GGUF:Q6_K"), offline)).rejects.toThrow(
      /is not on this machine, and HF_HUB_OFFLINE is set/,
    );
  });
});
