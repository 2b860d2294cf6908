import { describe, expect, it } from "vitest";
import { HttpSource } from "./http-source.ts";

const BASE = "https://host.example/model";
const big = new Uint8Array(200_000).map((_, i) => i * 7);

/** A server of `files`; `ranges` tells whether it honours Range and shows Content-Range. */
function serve(files: Record<string, Uint8Array>, ranges: "yes" | "hidden" | "ignored" = "yes") {
  const requests: string[] = [];
  const fakeFetch = (async (url: string, init?: RequestInit) => {
    const range = new Headers(init?.headers).get("range")!;
    requests.push(`${url.replace(`${BASE}/`, "")} ${range}`);
    const file = files[url.replace(`${BASE}/`, "")];
    if (!file) return new Response("no", { status: 404 });
    if (ranges === "ignored") return new Response(file.slice(), { status: 200 });
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range)!.map(Number) as [number, number, number];
    if (from >= file.length) return new Response(null, { status: 416 });
    const end = Math.min(to + 1, file.length);
    const headers: Record<string, string> =
      ranges === "yes" ? { "content-range": `bytes ${from}-${end - 1}/${file.length}`, etag: `"${file.length}"` } : {};
    return new Response(file.slice(from, end), { status: 206, headers });
  }) as typeof fetch;
  return { source: new HttpSource(BASE, { fetch: fakeFetch }), requests };
}

describe("HttpSource", () => {
  it("reads a small file in one request and a large one by range", async () => {
    const { source, requests } = serve({ "a.json": big.slice(0, 10), "w.bin": big, empty: new Uint8Array(0) });
    expect(await source.has("a.json")).toBe(true);
    expect(await source.read("a.json", 2, 10)).toEqual(big.slice(2, 10));
    expect(requests.length).toBe(1);
    expect(await source.size("w.bin")).toBe(200_000);
    expect(await source.read("w.bin", 65_000, 70_001)).toEqual(big.slice(65_000, 70_001));
    expect(requests.at(-1)).toBe("w.bin bytes=65000-70000");
    expect(await source.size("empty")).toBe(0);
    expect(await source.has("none")).toBe(false);
  });

  it("keeps the whole file when the server ignores ranges", async () => {
    const { source, requests } = serve({ "w.bin": big }, "ignored");
    expect(await source.read("w.bin", 150_000, 150_003)).toEqual(big.slice(150_000, 150_003));
    expect(await source.size("w.bin")).toBe(200_000);
    expect(requests.length).toBe(1);
  });

  it("accepts a hidden Content-Range for small files and explains it for large ones", async () => {
    const { source } = serve({ "a.json": big.slice(0, 10), "w.bin": big }, "hidden");
    expect(await source.size("a.json")).toBe(10);
    await expect(source.size("w.bin")).rejects.toMatchObject({
      message: expect.stringContaining("Access-Control-Expose-Headers"),
    });
  });

  it("knows versions of files, and refuses to go on with another file that took the place of one", async () => {
    const files: Record<string, Uint8Array> = { "w.bin": big };
    const { source } = serve(files);
    expect(await source.version("w.bin")).toBe('"200000"');
    files["w.bin"] = big.slice(0, 150_000);
    await expect(source.read("w.bin", 70_000, 70_001)).rejects.toMatchObject({
      message: expect.stringMatching(/expected a file of 200000 bytes, got one of 150000; it was replaced/),
    });
    const etags = ["one", "one", "two"];
    const sameSize = new HttpSource(BASE, {
      fetch: async () =>
        new Response(big.slice(0, 9), {
          status: 206,
          headers: { "content-range": "bytes 0-8/200000", etag: etags.shift()! },
        }),
    });
    expect(await sameSize.read("w.bin", 100_000, 100_009)).toEqual(big.slice(0, 9));
    await expect(sameSize.read("w.bin", 100_000, 100_009)).rejects.toMatchObject({
      message: expect.stringMatching(/expected version one, got two; it was replaced/),
    });
    const dated = new HttpSource(BASE, {
      fetch: async () => new Response("", { headers: { "last-modified": "Mon, 30 Nov 2026 10:00:00 GMT" } }),
    });
    expect(await dated.version("a.json")).toMatch(/^Mon/);
    const mute = new HttpSource(BASE, { fetch: async () => new Response("") });
    expect(await mute.version("a.json")).toBeNull();
  });

  it("names URL and next step on failure", async () => {
    const { source } = serve({ "w.bin": big });
    await expect(source.read("none", 0, 1)).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/model\/none: not found/),
    });
    await expect(source.read("w.bin", 199_999, 200_001)).rejects.toMatchObject({
      message: expect.stringContaining("truncated"),
    });
    await expect(source.read("../x", 0, 1)).rejects.toMatchObject({ code: "invalid_file" });
    const down = new HttpSource(BASE, { fetch: () => Promise.reject(new TypeError("fetch failed")) });
    await expect(down.size("a")).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringContaining("check the connection"),
    });
    const denied = new HttpSource(BASE, { fetch: async () => new Response("", { status: 403 }) });
    await expect(denied.size("a")).rejects.toMatchObject({ message: expect.stringContaining("got 403") });
  });

  it("asks again when the connection is cut or the server is busy, not when it refuses; puts bytes where they are wanted", async () => {
    const answers: (Response | Error)[] = [];
    const requests: string[] = [];
    const fakeFetch = (async (_: string, init?: RequestInit) => {
      requests.push(new Headers(init?.headers).get("range")!);
      const next = answers.shift();
      if (next instanceof Error) throw next;
      return next ?? new Response("", { status: 403 });
    }) as typeof fetch;
    const part = (from: number, to: number) =>
      new Response(big.slice(from, to), {
        status: 206,
        headers: { "content-range": `bytes ${from}-${to - 1}/200000` },
      });
    const source = new HttpSource(BASE, { fetch: fakeFetch, retryDelay: 0 });
    answers.push(new Response("", { status: 503 }), part(0, 65_536));
    expect(await source.size("w.bin")).toBe(200_000);
    answers.push(new TypeError("terminated"), new Response("", { status: 429 }), part(70_000, 70_010));
    const into = new Uint8Array(16);
    const bytes = await source.read("w.bin", 70_000, 70_010, { into });
    expect(bytes).toEqual(big.slice(70_000, 70_010));
    expect(bytes.buffer).toBe(into.buffer);
    expect(requests).toHaveLength(5);
    await expect(source.read("w.bin", 70_000, 70_010)).rejects.toMatchObject({
      message: expect.stringContaining("got 403"),
    });
    expect(requests, "a refusal is final").toHaveLength(6);
    answers.push(...Array.from({ length: 9 }, () => new TypeError("terminated")));
    await expect(source.read("w.bin", 70_000, 70_010)).rejects.toThrow(/cannot be reached/);
    expect(requests, "four tries").toHaveLength(10);
  });
});
