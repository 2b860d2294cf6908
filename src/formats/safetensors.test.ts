import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { weightsDigestOf } from "./checkpoint-fingerprint.ts";
import type { FileSource } from "./file-source.ts";
import { MemorySource } from "./memory-source.ts";
import { openCheckpoint } from "./open-checkpoint.ts";
import { openSafetensors } from "./safetensors.ts";
import { MAX_HEADER_BYTES } from "./safetensors-header.ts";
import { type TensorToWrite, writeSafetensors } from "./write-safetensors.ts";

const bytes = (count: number, start = 0) => new Uint8Array(count).map((_, i) => start + i);
const tensors: Record<string, TensorToWrite> = {
  "model.norm.weight": { dtype: "f32", shape: [3], data: bytes(12) },
  "a.weight": { dtype: "bf16", shape: [2, 4], data: bytes(16, 100) },
  "b.weight": { dtype: "f16", shape: [1, 2], data: bytes(4, 200) },
  none: { dtype: "f32", shape: [0, 5], data: bytes(0) },
};

/** A file with a header as given and `dataBytes` of zeros. */
function fileWith(header: unknown, dataBytes: number, claimedLength?: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + dataBytes);
  const view = new DataView(file.buffer);
  view.setUint32(0, claimedLength ?? json.length, true);
  file.set(json, 8);
  return file;
}
/** A checkpoint whose headers have been read. */
async function opened(source: FileSource) {
  const checkpoint = await openCheckpoint(source);
  return { checkpoint, tensors: await checkpoint.tensors() };
}
const open = (file: Uint8Array) => opened(new MemorySource({ "model.safetensors": file }, "m"));

describe("openCheckpoint", () => {
  it("reads what writeSafetensors writes", async () => {
    const { checkpoint, tensors: infos } = await open(writeSafetensors(tensors, { format: "pt" }));
    expect(checkpoint.container).toBe("safetensors");
    expect([...infos.keys()].sort()).toEqual(Object.keys(tensors).sort());
    expect(await checkpoint.read("a.weight", 3, 9)).toEqual(tensors["a.weight"]!.data.slice(3, 9));
    for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
      expect(infos.get(name)).toMatchObject({
        name,
        dtype,
        shape,
        numBytes: data.length,
        file: "model.safetensors",
      });
      expect(await checkpoint.read(name)).toEqual(data);
    }
    await expect(checkpoint.read("x")).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringContaining("tensor x is missing"),
    });
  });

  it("reads tables of whole numbers of any name as f32, and leaves those of quantized weights to their schemes", async () => {
    const entry = (dtype: string, at: number, size: number) => ({
      dtype,
      shape: [2],
      data_offsets: [at, at + 2 * size],
    });
    const file = fileWith({ "a.numbers": entry("I64", 0, 8), "a.position_ids": entry("I32", 16, 4) }, 24);
    new DataView(file.buffer).setBigInt64(file.length - 24 + 8, -7n, true);
    const { checkpoint, tensors: infos } = await open(file);
    expect([...infos.values()].map(({ dtype, numBytes }) => [dtype, numBytes])).toEqual([
      ["f32", 8],
      ["f32", 8],
    ]);
    expect(new Float32Array((await checkpoint.read("a.numbers")).slice().buffer)).toEqual(Float32Array.of(0, -7));
    await expect(open(fileWith({ "a.qweight": entry("I32", 0, 4) }, 8))).rejects.toThrow(
      /tensor a\.qweight: got dtype I32, which is part of a quantized weight/,
    );
  });

  it("opens shards, a named file, and prefers the single file", async () => {
    const { "a.weight": a, "b.weight": b } = tensors as { "a.weight": TensorToWrite; "b.weight": TensorToWrite };
    const shards = {
      "model-00001-of-00002.safetensors": writeSafetensors({ "a.weight": a }),
      "model-00002-of-00002.safetensors": writeSafetensors({ "b.weight": b }),
      "model.safetensors.index.json": JSON.stringify({
        metadata: { total_size: 20 },
        weight_map: { "a.weight": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors" },
      }),
    };
    const sharded = await opened(new MemorySource(shards));
    expect(await sharded.checkpoint.read("b.weight")).toEqual(b.data);
    expect(sharded.tensors.get("b.weight")!.file).toBe("model-00002-of-00002.safetensors");
    const named = await openSafetensors(new MemorySource(shards), "model-00001-of-00002.safetensors");
    expect([...named.tensors.keys()]).toEqual(["a.weight"]);

    // The same tensors in one file are the same model.
    const single = await opened(
      new MemorySource({ ...shards, "model.safetensors": writeSafetensors({ "b.weight": b, "a.weight": a }) }),
    );
    expect(single.tensors.get("a.weight")!.file).toBe("model.safetensors");
    expect(await single.checkpoint.fingerprint()).toBe(await sharded.checkpoint.fingerprint());
  });

  it("has a fingerprint that changes with weights, shapes and config, not with a mere re-save", async () => {
    const data = bytes(40_000);
    const print = async (weights: Uint8Array, shape: number[], config: object) =>
      (
        await openCheckpoint(
          new MemorySource({
            "model.safetensors": writeSafetensors({ w: { dtype: "bf16", shape, data: weights } }),
            "config.json": JSON.stringify(config),
          }),
        )
      ).fingerprint();
    const base = await print(data, [100, 200], { a: 1, b: 2 });
    expect(base).toMatch(/^[0-9a-f]{64}$/);
    expect(await print(data, [100, 200], { b: 2, transformers_version: "9", a: 1 })).toBe(base);
    expect(await print(data, [200, 100], { a: 1, b: 2 })).not.toBe(base);
    expect(await print(data, [100, 200], { a: 1, b: 3 })).not.toBe(base);
    expect(
      await print(
        data.map((x) => x ^ 1),
        [100, 200],
        { a: 1, b: 2 },
      ),
    ).not.toBe(base);
  });

  it("has a digest that changes with any tensor, also with one that no sample of the fingerprint is in", async () => {
    const large = { dtype: "bf16", shape: [100, 2000], data: bytes(400_000) } as const;
    const norm = (value: number) => ({ dtype: "bf16", shape: [32], data: bytes(64).fill(value, 63) }) as const;
    const opened = (tensors: Parameters<typeof writeSafetensors>[0]) =>
      openCheckpoint(new MemorySource({ "model.safetensors": writeSafetensors(tensors) }));
    const base = await opened({ a: large, n: norm(1), z: large });
    const tuned = await opened({ a: large, n: norm(2), z: large });
    expect(await tuned.fingerprint()).toBe(await base.fingerprint());
    const digest = await weightsDigestOf(base);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(await weightsDigestOf(await opened({ z: large, n: norm(1), a: large }))).toBe(digest);
    expect(await weightsDigestOf(tuned)).not.toBe(digest);
    const other = { ...large, data: large.data.map((x) => x ^ 1) };
    expect(await weightsDigestOf(await opened({ a: large, n: norm(1), z: other }))).not.toBe(digest);
  });
});

describe("openCheckpoint refuses", () => {
  const f32 = (begin: number, end: number, shape: unknown = [(end - begin) / 4]) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });
  const cases: Record<string, [Uint8Array, RegExp, string?]> = {
    "an empty file": [new Uint8Array(0), /m\/model\.safetensors: expected a safetensors file, got 0 bytes.*download/],
    "a header length beyond the file": [
      fileWith({}, 0, 500),
      /header of 500 bytes, got a file of \d+; the file is truncated/,
    ],
    "a header length beyond the limit": [
      fileWith({}, 0, MAX_HEADER_BYTES + 1),
      /at most 100000000 bytes, got a length of 100000001/,
    ],
    "a Git LFS pointer": [
      new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 10\n"),
      /LFS pointer/,
    ],
    "a header that is no JSON": [fileWith("{'w': 1}", 0), /header.*expected JSON/],
    "a header that is no UTF-8": [Uint8Array.from([2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe]), /header.*expected JSON/],
    "a header that is a list": [fileWith([], 0), /expected a JSON object as header/],
    "data that ends early": [
      writeSafetensors(tensors).slice(0, -1),
      /tensor b\.weight: expected a file of at least \d+ bytes, got \d+; the file is truncated/,
    ],
    "offsets outside the file": [fileWith({ w: f32(0, 400) }, 4), /tensor w: expected a file of at least/],
    "a size that the shape denies": [
      fileWith({ w: f32(0, 8, [3]) }, 8),
      /tensor w: expected 12 bytes for F32 \[3\], got data_offsets of 8/,
    ],
    "a shape that overflows": [fileWith({ w: f32(0, 8, [2 ** 40, 2 ** 40]) }, 8), /tensor w: expected .* bytes/],
    "reversed offsets": [
      fileWith({ w: { dtype: "F32", shape: [1], data_offsets: [8, 4] } }, 8),
      /data_offsets \[begin, end\]/,
    ],
    "negative dimensions": [fileWith({ w: f32(0, 4, [-1, -1]) }, 4), /shape of at most 8 whole numbers/],
    "too many dimensions": [fileWith({ w: f32(0, 4, Array(9).fill(1)) }, 4), /shape of at most 8 whole numbers/],
    "a fractional offset": [fileWith({ w: { dtype: "F32", shape: [1], data_offsets: [0.5, 4.5] } }, 8), /data_offsets/],
    "an entry that is no object": [fileWith({ w: 3 }, 4), /tensor w: expected \{dtype/],
    "a missing dtype": [fileWith({ w: { shape: [1], data_offsets: [0, 4] } }, 4), /tensor w: expected a dtype/],
    "tensors that overlap": [fileWith({ v: f32(0, 8), w: f32(4, 12) }, 12), /got v overlapping w/],
    "one tensor within another": [fileWith({ v: f32(0, 16), w: f32(4, 8) }, 16), /got v overlapping w/],
    "a very long name": [fileWith({ ["n".repeat(2000)]: f32(0, 4) }, 4), /name of at most 1024/],
    "an 8-bit checkpoint": [
      fileWith({ w: { dtype: "F8_E4M3", shape: [4], data_offsets: [0, 4] } }, 4),
      /tensor w: got dtype F8_E4M3.*no quantization_config of gptq.*use the bf16/,
      "unsupported",
    ],
    "a dtype named like a method": [
      fileWith({ w: { dtype: "toString", shape: [4], data_offsets: [0, 4] } }, 4),
      /got toString/,
      "unsupported",
    ],
  };
  it.each(Object.entries(cases))("%s", async (_, [file, message, code = "invalid_file"]) => {
    await expect(open(file)).rejects.toMatchObject({
      name: "TurboQuantError",
      code,
      message: expect.stringMatching(message),
    });
  });

  it("a truncation at any byte, a change of any header byte: one typed error or a sound result", async () => {
    const file = writeSafetensors(tensors);
    const headerEnd = file.length - 32;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(file.length - 1),
        fc.nat(headerEnd - 1),
        fc.integer({ min: 0, max: 255 }),
        async (length, at, value) => {
          await expect(open(file.slice(0, length))).rejects.toMatchObject({ code: "invalid_file" });
          const changed = file.slice();
          changed[at] = value;
          const result = await open(changed).catch((error: unknown) => error);
          if (result instanceof Error) expect(result.name).toBe("TurboQuantError");
        },
      ),
      { numRuns: 300 },
    );
  });

  const good = writeSafetensors({ w: { dtype: "f32", shape: [1], data: bytes(4) } });
  const index = (map: unknown) => JSON.stringify({ weight_map: map });
  it.each<[string, Record<string, Uint8Array | string>, RegExp, string?]>([
    [
      "a directory without weights",
      { "config.json": "{}" },
      /m: expected model\.safetensors or model\.safetensors\.index\.json, got neither/,
    ],
    ["a PyTorch pickle", { "pytorch_model.bin": "" }, /got only pytorch_model\.bin; convert it/, "unsupported"],
    ["an adapter", { "adapter_model.safetensors": good }, /got only adapter_model\.safetensors; merge/, "unsupported"],
    [
      "a missing shard",
      { "s1.safetensors": good, "model.safetensors.index.json": index({ w: "s1.safetensors", v: "s2.safetensors" }) },
      /1 of 2 shards are missing \(s2\.safetensors\); download/,
    ],
    [
      "an index that disagrees with its shard",
      { "s1.safetensors": good, "model.safetensors.index.json": index({ w: "s1.safetensors", v: "s1.safetensors" }) },
      /m\/s1\.safetensors: tensor v is missing though/,
    ],
    [
      "an index that leaves the directory",
      { "model.safetensors.index.json": index({ w: "../../other.safetensors" }) },
      /tensor w: expected the name of a \.safetensors file beside it/,
    ],
    ["an index without a map", { "model.safetensors.index.json": "{}" }, /expected an object weight_map/],
    ["an index that is no JSON", { "model.safetensors.index.json": "{" }, /index\.json: expected JSON/],
  ])("%s", async (_, files, message, code = "invalid_file") => {
    await expect(opened(new MemorySource(files, "m"))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });
});

describe("writeSafetensors", () => {
  it("refuses bytes that do not fit the shape", () => {
    expect(() => writeSafetensors({ w: { dtype: "f32", shape: [2], data: bytes(4) } })).toThrow(/w: expected 8 bytes/);
  });
});
