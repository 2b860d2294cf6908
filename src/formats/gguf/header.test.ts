/** @file Headers that are read, and headers that lie: one error each, before memory is taken for what they claim. */
import { describe, expect, it } from "vitest";
import { type GgufFile, type Written, writeGguf } from "../../../test/support/gguf-file.ts";
import { TurboQuantError } from "../../errors.ts";
import { MemorySource } from "../memory-source.ts";
import type { TextList } from "../text-list.ts";
import { type GgufHeader, readGgufHeader } from "./header.ts";

const key = (name: string, value: Written): readonly [string, Written] => [name, value];
const vector = { name: "a", type: 0, shape: [4], data: new Uint8Array(16) };
const read = (bytes: Uint8Array) => readGgufHeader(new MemorySource({ "m.gguf": bytes }, "dir"), "m.gguf");
const readFile = (file: GgufFile) => read(writeGguf(file));
const textOf = (metadata: GgufHeader["metadata"]): string =>
  JSON.stringify(Object.fromEntries(metadata), (_, value) => (typeof value === "bigint" ? `${value}` : value));

async function refusal(bytes: Uint8Array): Promise<TurboQuantError> {
  const error = await read(bytes).then(
    () => null,
    (cause) => cause,
  );
  expect(error).toBeInstanceOf(TurboQuantError);
  expect(error.message).toContain("dir/m.gguf");
  return error;
}

describe("a header that is right", () => {
  it("keeps its own bytes, and none of what lies behind it", async () => {
    const weights = { name: "a", type: 0, shape: [1 << 16], data: new Uint8Array(1 << 18) };
    const { metadata } = await readFile({ metadata: [key("a.texts", { strings: ["x", "yz"] })], tensors: [weights] });
    const texts = metadata.get("a.texts") as TextList;
    expect(texts.toJSON()).toEqual(["x", "yz"]);
    expect(texts.bytes.buffer.byteLength).toBeLessThan(256);
  });

  it.each([2, 3])(
    "version %i: every type of value, shapes outermost first, offsets from the beginning",
    async (version) => {
      const bytes = writeGguf({
        version,
        metadata: [
          key("a.number", { u32: 7 }),
          key("a.large", { u64: 2n ** 60n }),
          key("a.fraction", { f32: 0.5 }),
          key("a.flag", { bool: true }),
          key("a.text", { string: "grüße" }),
          key("a.texts", { strings: ["", "x"] }),
          key("a.numbers", { i32s: [-1, 2] }),
          key("a.none", { strings: [] }),
        ],
        tensors: [vector, { name: "b", type: 8, shape: [3, 32], data: new Uint8Array(102).fill(5) }],
      });
      const { metadata, tensors } = await read(bytes);
      expect(JSON.parse(textOf(metadata))).toEqual({
        "a.number": 7,
        "a.large": `${2n ** 60n}`,
        "a.fraction": 0.5,
        "a.flag": true,
        "a.text": "grüße",
        "a.texts": ["", "x"],
        "a.numbers": [-1, 2],
        "a.none": [],
      });
      expect(tensors[1]).toMatchObject({ name: "b", shape: [3, 32], numBytes: 102, type: { format: "q8_0" } });
      expect(bytes.subarray(tensors[1]!.offset, tensors[1]!.offset + 102)).toEqual(new Uint8Array(102).fill(5));
    },
  );

  it("larger than what is read first", async () => {
    const strings = Array.from({ length: 200_000 }, (_, i) => `token ${i}`);
    const { metadata } = await readFile({ metadata: [key("tokens", { strings })], tensors: [vector] });
    expect(JSON.parse(textOf(metadata))).toEqual({ tokens: strings });
  });

  it("outer dimensions of 1 say nothing", async () => {
    const { tensors } = await readFile({ metadata: [], tensors: [{ ...vector, shape: [1, 1, 4] }] });
    expect(tensors[0]!.shape).toEqual([4]);
  });

  it("another alignment", async () => {
    const metadata = [key("general.alignment", { u32: 128 })];
    const { tensors } = await readFile({ metadata, tensors: [vector], alignment: 128 });
    expect(tensors[0]!.offset % 128).toBe(0);
  });
});

describe("a header that is wrong is refused", () => {
  const good: GgufFile = { metadata: [key("a", { u32: 1 })], tensors: [vector] };
  it.each<[string, GgufFile, RegExp]>([
    ["another magic number", { ...good, magic: "tjgg" }, /expected a GGUF file/],
    ["version 1", { ...good, version: 1 }, /version 2 or 3, got version 1/],
    ["the other byte order", { ...good, version: 0x03000000 }, /big-endian/],
    ["more keys than bytes", { ...good, counts: { keys: 2n ** 62n } }, /number of keys: the count/],
    ["more tensors than bytes", { ...good, counts: { tensors: 2n ** 62n } }, /number of tensors: the count/],
    ["a key twice", { ...good, metadata: [key("a", { u32: 1 }), key("a", { u32: 2 })] }, /the key a is there twice/],
    ["an alignment of 0", { ...good, metadata: [key("general.alignment", { u32: 0 })] }, /general\.alignment/],
    ["an alignment of 24", { ...good, metadata: [key("general.alignment", { u32: 24 })] }, /general\.alignment/],
    ["a dimension of 0", { ...good, tensors: [{ ...vector, shape: [0, 4] }] }, /a: expected dimensions from 1/],
    ["a dimension of 2^40", { ...good, tensors: [{ ...vector, shape: [2n ** 40n] }] }, /a: expected dimensions from 1/],
    ["five dimensions", { ...good, tensors: [{ ...vector, shape: [1, 1, 1, 1, 4] }] }, /a: .*4 dimensions, got 5/],
    ["a type that was given up", { ...good, tensors: [{ ...vector, type: 4 }] }, /a: .*q4_2 \(type 4\)/],
    ["a type that never was", { ...good, tensors: [{ ...vector, type: 999 }] }, /a: .*type 999/],
    [
      "a name of no bytes",
      { ...good, tensors: [{ ...vector, name: "" }] },
      /names of tensors of 1 to 64 bytes, got ""/,
    ],
    ["a long name", { ...good, tensors: [{ ...vector, name: "x".repeat(65) }] }, /names of tensors.*got "xxx/],
    ["a type that is not read", { ...good, tensors: [{ ...vector, type: 16 }] }, /a: .*iq2_xxs/],
    ["a row of no whole blocks", { ...good, tensors: [{ ...vector, type: 8, shape: [4] }] }, /a: .*whole blocks of 32/],
    ["an offset beyond the end", { ...good, tensors: [{ ...vector, offset: 4096 }] }, /a: .*beyond the end/],
    ["an offset between", { ...good, tensors: [{ ...vector, offset: 4 }] }, /a: .*multiple of 32/],
    ["tensors that overlap", { ...good, tensors: [vector, { ...vector, name: "b", offset: 0 }] }, /a and b overlap/],
    ["a tensor twice", { ...good, tensors: [vector, vector] }, /tensor a is there twice/],
  ])("%s", async (_, file, message) => {
    expect((await refusal(writeGguf(file))).message).toMatch(message);
  });

  it("lengths of strings and arrays that lie", async () => {
    const bytes = writeGguf({ metadata: [key("abc", { string: "text" })] });
    const lie = (at: number): Uint8Array => {
      const copy = bytes.slice();
      new DataView(copy.buffer).setBigUint64(at, 2n ** 63n, true);
      return copy;
    };
    // The length of the key, then of its value behind three letters and the type.
    expect((await refusal(lie(24))).message).toMatch(/length of a string: the count 9223372036854775808/);
    expect((await refusal(lie(24 + 8 + 3 + 4))).message).toMatch(/abc: length of a string/);
    const array = writeGguf({ metadata: [key("abc", { i32s: [1] })] });
    new DataView(array.buffer).setBigUint64(24 + 8 + 3 + 8, 2n ** 61n, true);
    expect((await refusal(array)).message).toMatch(/abc: length of an array/);
  });

  it("cut off anywhere", async () => {
    const bytes = writeGguf(good);
    for (let length = 0; length < bytes.length - 16; length++) {
      const { message } = await refusal(bytes.slice(0, length));
      expect(message).toMatch(/expected a GGUF file|truncated|beyond/);
    }
  });
});
