import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ProgressEvent } from "../platform.ts";
import { downloadCheckpoint } from "./hub.ts";

// A hub of one model on localhost, with the few endpoints that the client calls.
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const weights = new Uint8Array(3_000_000).map((_, i) => i * 31);
const sha256 = createHash("sha256").update(weights).digest("hex");
let files: Record<string, { bytes: Uint8Array; lfs?: string }>;
let server: Server;
let endpoint: string;
let cacheDir: string;
let requests: string[];

beforeEach(async () => {
  const text = (s: string) => ({ bytes: new TextEncoder().encode(s) });
  files = {
    "config.json": text("{}"),
    "README.md": text("not wanted"),
    "consolidated.safetensors": text("not wanted"),
    "model.safetensors": { bytes: weights, lfs: sha256 },
  };
  requests = [];
  cacheDir = await mkdtemp(join(tmpdir(), "tq-hub-"));
  server = createServer((request, response) => {
    const url = new URL(request.url!, "http://localhost");
    requests.push(url.pathname);
    const json = (body: unknown, status = 200) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    if (url.pathname.startsWith("/api/models/org/tiny/revision/")) {
      return json({ _id: "1", id: "org/tiny", sha: COMMIT, lastModified: "2025-01-01T00:00:00Z" });
    }
    if (url.pathname.startsWith("/api/models/org/tiny/tree/")) {
      const entries = Object.entries(files).map(([path, { bytes, lfs }]) => ({
        type: "file",
        path,
        size: bytes.length,
        oid: createHash("sha1").update(bytes).digest("hex"),
        ...(lfs && { lfs: { oid: lfs, size: bytes.length, pointerSize: 130 } }),
      }));
      return json(entries);
    }
    const file = files[url.pathname.replace(`/org/tiny/resolve/${COMMIT}/`, "")];
    if (!file) return json({ error: "Repository not found" }, 404);
    const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
    const head = { etag: '"x"', "content-type": "application/octet-stream" };
    if (!range) return response.writeHead(200, head).end(file.bytes);
    const [start, end] = [Number(range[1]), Math.min(Number(range[2]) + 1, file.bytes.length)];
    response
      .writeHead(206, { ...head, "content-range": `bytes ${start}-${end - 1}/${file.bytes.length}` })
      .end(file.bytes.subarray(start, end));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(cacheDir, { recursive: true, force: true });
});
const options = () => ({ endpoint, cacheDir, offline: false, token: "" });

describe("downloadCheckpoint", () => {
  it("fetches only what a checkpoint needs, into the shared cache layout, with progress", async () => {
    const events: ProgressEvent[] = [];
    const directory = await downloadCheckpoint("org/tiny", { ...options(), onProgress: (event) => events.push(event) });
    expect(directory).toBe(join(cacheDir, "models--org--tiny", "snapshots", COMMIT));
    expect((await readdir(directory)).sort()).toEqual(["config.json", "model.safetensors"]);
    expect(
      createHash("sha256")
        .update(await readFile(join(directory, "model.safetensors")))
        .digest("hex"),
    ).toBe(sha256);
    expect(await readdir(join(cacheDir, "models--org--tiny", "blobs"))).toContain(sha256);
    expect(await readFile(join(cacheDir, "models--org--tiny", "refs", "main"), "utf8")).toBe(COMMIT);
    const last = events.at(-1)!;
    expect(last).toMatchObject({ phase: "download", unit: "bytes", done: last.total, total: weights.length + 2 });
    expect(events.every((event, i) => i === 0 || event.done >= events[i - 1]!.done)).toBe(true);

    requests.length = 0;
    expect(await downloadCheckpoint("org/tiny", options())).toBe(directory);
    expect(requests.filter((path) => path.includes("/resolve/"))).toEqual([]);
  });

  it("uses the cache without a network, and says what to do when it is empty", async () => {
    const nowhere = { ...options(), endpoint: "http://127.0.0.1:9" };
    await expect(downloadCheckpoint("org/tiny", nowhere)).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/org\/tiny .*the hub cannot be reached; .*pass its directory/),
    });
    await expect(downloadCheckpoint("org/tiny", { ...options(), offline: true })).rejects.toMatchObject({
      message: expect.stringContaining("HF_HUB_OFFLINE"),
    });
    const directory = await downloadCheckpoint("org/tiny", options());
    expect(await downloadCheckpoint("org/tiny", nowhere)).toBe(directory);
    expect(await downloadCheckpoint("org/tiny", { ...options(), offline: true })).toBe(directory);
  });

  it("refuses damaged bytes and leaves no file behind", async () => {
    files["model.safetensors"] = { bytes: weights, lfs: "f".repeat(64) };
    await expect(downloadCheckpoint("org/tiny", options())).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringContaining("model.safetensors"),
    });
    const left = await readdir(join(cacheDir, "models--org--tiny"), { recursive: true });
    expect(left.filter((path) => /model\.safetensors|incomplete|f{64}|refs/.test(path))).toEqual([]);
  });

  it("explains an unknown model, a wrong token and a model without safetensors", async () => {
    await expect(downloadCheckpoint("org/none", options())).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/org\/none.*HTTP 404.*HF_TOKEN/),
    });
    await expect(downloadCheckpoint("org/tiny", { ...options(), token: "secret" })).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("HF_TOKEN"),
    });
    delete files["model.safetensors"];
    await expect(downloadCheckpoint("org/tiny", options())).rejects.toMatchObject({ code: "unsupported" });
  });

  it("stops on abort", async () => {
    const controller = new AbortController();
    const download = downloadCheckpoint("org/tiny", {
      ...options(),
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(download).rejects.toMatchObject({ name: "AbortError" });
  });
});
