import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { acceptedEncoding } from "../server/web-page.ts";
import { builtWebFiles } from "./web-files.ts";

const SCRIPT = `export const words = ${JSON.stringify("compress me ".repeat(400))};`;

describe("files of the page", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "turboquant-files-"));
    mkdirSync(join(folder, "assets"));
    writeFileSync(join(folder, "index.html"), "<!doctype html>");
    writeFileSync(join(folder, "assets/page-abcdefgh.js"), SCRIPT);
    writeFileSync(join(folder, "picture.png"), new Uint8Array(5000));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("are compressed once, in what a browser accepts, and are the same bytes then", async () => {
    const files = builtWebFiles(folder)!;
    const file = (await files("/assets/page-abcdefgh.js"))!;
    const [br, gzip] = [await file.compressed!("br"), await file.compressed!("gzip")];
    expect(brotliDecompressSync(br).toString()).toBe(SCRIPT);
    expect(gunzipSync(gzip).toString()).toBe(SCRIPT);
    expect(br.length).toBeLessThan(SCRIPT.length / 10);
    expect(await (await files("/assets/page-abcdefgh.js"))!.compressed!("br")).toBe(br);
  });

  it("stay as they are where compression saves nothing", async () => {
    const files = builtWebFiles(folder)!;
    expect((await files("/picture.png"))!.compressed).toBeUndefined();
    expect((await files("/index.html"))!.compressed).toBeUndefined();
  });
});

describe("acceptedEncoding", () => {
  it("is what saves most of what is accepted", () => {
    expect(acceptedEncoding("gzip, deflate, br, zstd")).toBe("br");
    expect(acceptedEncoding("gzip;q=1.0, identity; q=0.5, br;q=0")).toBe("gzip");
    expect(acceptedEncoding("*")).toBe("br");
    expect(acceptedEncoding("identity")).toBeUndefined();
    expect(acceptedEncoding(null)).toBeUndefined();
  });
});
