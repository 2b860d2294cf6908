/** @file GGUF files at an address: one file, parts, and folders that are listed. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import "../src/node/install.ts";
import { LLM } from "../src/index.ts";
import { writeGguf } from "./support/gguf-file.ts";
import { splitFile } from "./support/gguf-model.ts";
import { randomModel } from "./support/random-gguf.ts";

describe("over HTTP", () => {
  /** Answers ranges, and lists its folder where `lists`. */
  async function serve(files: Record<string, Uint8Array>, lists: boolean) {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      const path = decodeURIComponent(request.url!.split("?")[0]!);
      asked.push(request.url!);
      const file = files[path.replace("/m/", "")];
      if (path.startsWith("/m/") && path.endsWith("/") && lists) {
        const below = Object.keys(files).filter((name) => name.startsWith(path.slice(3)));
        // What is deeper down is a folder.
        const names = below.map((name) => name.slice(path.length - 3).replace(/\/.*/, "/"));
        const links = [...new Set(names)].map((name) => `<a href="${name}">`);
        response.setHeader("Content-Type", "text/html").end(links.join(""));
      } else if (file) {
        const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range!)!.map(Number) as [number, number, number];
        const end = Math.min(to + 1, file.length);
        response.setHeader("Content-Range", `bytes ${from}-${end - 1}/${file.length}`);
        response.writeHead(206).end(file.subarray(from, end));
      } else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return { url: `http://127.0.0.1:${port}/m/`, asked };
  }
  const load = (ref: string) => LLM.load(ref, { backend: "reference" });

  it("a file by its address, with what follows it; parts beside it; the one file of a folder that is listed", async () => {
    const { file } = await randomModel("llama");
    const parts = [...splitFile(file, "p", 2)].map(([name, part]) => [name, writeGguf(part)] as const);
    const { url, asked } = await serve({ "my file.gguf": writeGguf(file), ...Object.fromEntries(parts) }, false);
    await using one = await load(`${url}my%20file.gguf?key=1`);
    expect(one.name).toBe("Written Here");
    expect(new Set(asked)).toEqual(
      new Set([
        "/m/my%20file.gguf?key=1",
        "/m/my%20file.kv_calibration.safetensors?key=1",
        "/m/kv_calibration.safetensors?key=1",
      ]),
    );
    await using other = await load(`${url}p-00001-of-00002.gguf`);
    expect(other.weightsFingerprint).toBe(one.weightsFingerprint);
    await expect(load(`${url}none.gguf`)).rejects.toThrow(/m\/none\.gguf: not found \(HTTP 404\); check the URL/);
    await expect(load(url)).rejects.toThrow(
      /m\/config\.json: not found \(HTTP 404\); check the URL, which for a GGUF model is that of its file/,
    );
    const listed = await serve({ "a.gguf": writeGguf(file) }, true);
    await using third = await load(listed.url);
    expect(third.weightsFingerprint).toBe(one.weightsFingerprint);
    const two = await serve({ "a.gguf": writeGguf(file), "b.gguf": writeGguf(file) }, true);
    const deep = await serve({ "README.md": new Uint8Array(1), "Q4_0/m.gguf": writeGguf(file) }, true);
    await using fourth = await load(deep.url);
    expect(fourth.weightsFingerprint).toBe(one.weightsFingerprint);
    const quants = await serve({ "Q4_0/m.gguf": writeGguf(file), "F16/m.gguf": writeGguf(file) }, true);
    await using fifth = await load(`${quants.url.slice(0, -1)}:f16`);
    expect(fifth.weightsFingerprint).toBe(one.weightsFingerprint);
    expect(quants.asked.some((path) => path.startsWith("/m/Q4_0/m"))).toBe(false);
    await expect(load(`${quants.url.slice(0, -1)}:Q8_0`)).rejects.toThrow(
      /\/m has no Q8_0; it has Q4_0, F16; name one of these after the colon/,
    );
    await expect(load(two.url)).rejects.toThrow(/expected one model, got a\.gguf, b\.gguf; name one/);
  });
});
