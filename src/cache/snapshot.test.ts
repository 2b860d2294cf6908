import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  append,
  eightBitFormat,
  type Fixture,
  kvFormat,
  makeCache,
  range,
  readMark,
} from "../../test/support/pages.ts";
import { TurboQuantError } from "../errors.ts";
import { crc32c } from "../math/crc32c.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { readSnapshotHeader, restoreSequence, saveSequence, snapshotParts } from "./snapshot.ts";

const IDENTITY = { fingerprint: "ab".repeat(32), kvSpec: "k4v4,sinks=4,window=24" };
const FORMATS = [
  kvFormat(4, 24),
  kvFormat(20, 0, "tq3"),
  kvFormat(0, 40, "q8_0"),
  kvFormat(4, 9, "f16"),
  eightBitFormat(4, 24),
];

const concat = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));

/** A sequence with a history: appended in chunks, trimmed, appended again. */
function makeSequence(
  steps: readonly { tokens: number[]; keep: number }[],
  formats: readonly LayerKvFormat[] = FORMATS,
) {
  const fixture = makeCache(formats);
  const sequence = fixture.cache.createSequence();
  const tokens: number[] = [];
  for (const step of steps) {
    append(fixture, sequence, step.tokens);
    tokens.push(...step.tokens);
    const length = Math.ceil(tokens.length * step.keep);
    sequence.trim(length);
    tokens.length = length;
  }
  return { fixture, sequence, tokens };
}

const save = (made: ReturnType<typeof makeSequence>): Promise<Uint8Array> =>
  saveSequence(made.sequence, { ...IDENTITY, tokens: made.tokens });

/** Restores into an empty cache of the same formats and checks that a failure leaves nothing there. */
function restore(
  bytes: Uint8Array,
  options: { formats?: LayerKvFormat[]; identity?: typeof IDENTITY; budgetBytes?: number } = {},
) {
  const { formats = FORMATS, identity = IDENTITY, budgetBytes } = options;
  const fixture = makeCache(formats, { ...(budgetBytes && { budgetBytes }) });
  try {
    return { fixture, ...restoreSequence(fixture.cache, bytes, identity) };
  } catch (error) {
    expect([fixture.pool.numBytes, fixture.storage.numBytes]).toEqual([0, 0]);
    throw error;
  }
}

function errorOf(run: () => unknown): TurboQuantError {
  try {
    run();
  } catch (error) {
    if (error instanceof TurboQuantError) return error;
    throw error;
  }
  throw new Error("expected an error");
}

const histories = fc.array(
  fc.record({
    tokens: fc.array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 100 }),
    keep: fc.constantFrom(1, 1, 0.9, 0.5, 0),
  }),
  { maxLength: 5 },
);

describe("snapshot", () => {
  it("restores what was saved, and saves it again to the same bytes", async () => {
    await fc.assert(
      fc.asyncProperty(histories, async (steps) => {
        const made = makeSequence(steps);
        const bytes = await save(made);
        const copy = restore(bytes);
        expect(copy.tokens).toEqual(made.tokens);
        expect(copy.sequence.length).toBe(made.sequence.length);
        FORMATS.forEach(({ sinks, window }, layer) => {
          expect(copy.sequence.residualStart(layer)).toBe(made.sequence.residualStart(layer));
          const hasResidual = copy.fixture.cache.layers[layer]!.residual !== null;
          made.tokens.forEach((token, p) => {
            const isCoded = p < copy.sequence.kv(layer).codedTokens(copy.sequence.length);
            if (isCoded) expect(readMark(copy.fixture, copy.sequence, layer, "main", p)).toBe(token);
            const isRead = hasResidual && (p < sinks || (window > 0 && p >= copy.sequence.residualStart(layer)));
            if (isRead) expect(readMark(copy.fixture, copy.sequence, layer, "residual", p)).toBe(token);
          });
        });
        const again = await saveSequence(copy.sequence, { ...IDENTITY, tokens: copy.tokens });
        expect(Buffer.compare(again, bytes)).toBe(0);
        // Both go on alike: the same pages are dropped from here on.
        append(made.fixture, made.sequence, range(50));
        append(copy.fixture, copy.sequence, range(50));
        const [a, b] = [made, copy].map((s) => saveSequence(s.sequence, IDENTITY)) as [
          Promise<Uint8Array>,
          Promise<Uint8Array>,
        ];
        expect(Buffer.compare(await a, await b)).toBe(0);
      }),
      { numRuns: 60, seed: 20260102 },
    );
  });

  it("does not depend on what was said and taken back", async () => {
    // Trimmed within the window of both, so that the same 16-bit copies are left.
    const plain = await save(makeSequence([{ tokens: range(70), keep: 1 }], [kvFormat(4, 128)]));
    const withSecret = makeSequence(
      [{ tokens: [...range(70), ...Array(30).fill(250)], keep: 0.7 }],
      [kvFormat(4, 128)],
    );
    expect(withSecret.tokens).toHaveLength(70);
    expect(Buffer.compare(await save(withSecret), plain)).toBe(0);
  });

  it("comes in pieces as well", async () => {
    const made = makeSequence([{ tokens: range(130), keep: 1 }]);
    const parts: Uint8Array[] = [];
    for await (const part of snapshotParts(made.sequence, { ...IDENTITY, tokens: made.tokens })) parts.push(part);
    expect(Buffer.compare(concat(parts), await save(made))).toBe(0);
    expect(parts.length).toBeGreaterThan(12);
  });

  it("saves the moment of the call, also when the sequence goes on meanwhile, and keeps no page", async () => {
    const made = makeSequence([{ tokens: range(100), keep: 1 }]);
    const bytes = await save(made);
    const parts: Uint8Array[] = [];
    for await (const part of snapshotParts(made.sequence, { ...IDENTITY, tokens: [...made.tokens] })) {
      parts.push(part);
      append(made.fixture, made.sequence, range(20));
    }
    expect(Buffer.compare(concat(parts), bytes)).toBe(0);
    for await (const _ of snapshotParts(made.sequence, IDENTITY)) break;
    made.sequence.release();
    expect(made.fixture.storage.numBytes).toBe(0);
  });

  it("tells its header; tokens may be left out or go one further than the cache", async () => {
    const { sequence, tokens } = makeSequence([{ tokens: range(10), keep: 1 }]);
    expect(readSnapshotHeader(await saveSequence(sequence, IDENTITY))).toMatchObject({
      ...IDENTITY,
      length: 10,
      numTokens: 0,
    });
    const bytes = await saveSequence(sequence, { ...IDENTITY, tokens: [...tokens, 151_935] });
    expect(restore(bytes).tokens).toEqual([...tokens, 151_935]);
    await expect(saveSequence(sequence, { ...IDENTITY, tokens: [1] })).rejects.toThrow("expected the 10 tokens");
  });

  it("refuses a flipped bit anywhere, with one error that says the next step", async () => {
    const bytes = await save(makeSequence([{ tokens: range(30), keep: 1 }]));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const damaged = bytes.slice();
        damaged[at]! ^= mask;
        const error = errorOf(() => restore(damaged));
        expect(error.code).toBe("invalid_file");
        expect(error.message).toMatch(
          /^snapshot: .*; (copy or save it again|save it again with this build|pass a file)/,
        );
      }),
      { numRuns: 500, seed: 20260103, examples: Array.from({ length: 24 }, (_, at): [number, number] => [at, 1]) },
    );
  });

  it("refuses every truncation, and trailing bytes", async () => {
    const bytes = await save(makeSequence([{ tokens: range(30), keep: 1 }]));
    for (let length = 0; length < bytes.length; length += length < 40 ? 1 : 97) {
      const error = errorOf(() => restore(bytes.subarray(0, length)));
      expect(error.code).toBe("invalid_file");
      expect(error.message).toMatch(length < 8 ? "not a KV snapshot" : `bytes, got ${length}; copy or save it again`);
    }
    expect(errorOf(() => restore(concat([bytes, Uint8Array.of(0)]))).message).toContain(
      "truncated or damaged: expected",
    );
  });

  it("refuses another model, format or shape and names both", async () => {
    const bytes = await save(makeSequence([{ tokens: range(30), keep: 1 }]));
    const refusal = (options: Parameters<typeof restore>[1]): string => {
      const error = errorOf(() => restore(bytes, options));
      expect(error.code).toBe("invalid_file");
      return error.message;
    };
    expect(refusal({ identity: { ...IDENTITY, fingerprint: "cd" } })).toMatch(
      /another model: expected fingerprint cd, got ab.*; load the model/,
    );
    expect(refusal({ identity: { ...IDENTITY, kvSpec: "k8v8" } })).toBe(
      `snapshot: it has another KV format: expected k8v8, got ${IDENTITY.kvSpec}; load the model with --kv ${IDENTITY.kvSpec}`,
    );
    expect(refusal({ formats: FORMATS.slice(1) })).toContain("expected 4 layers, got 5");
    expect(refusal({ formats: [kvFormat(4, 24, "tq5"), ...FORMATS.slice(1)] })).toMatch(
      /layer 0: expected mainPageBytes \d+, got \d+;/,
    );
  });

  it("reads a file of version 2 as the format that its name meant then, and names it to others", async () => {
    const formats = [kvFormat(4, 128)];
    const made = makeSequence([{ tokens: range(200), keep: 1 }], formats);
    // That version differs in its number, and in what the name of a format means.
    const bytes = await saveSequence(made.sequence, { ...IDENTITY, kvSpec: "k4v4", tokens: made.tokens });
    const view = new DataView(bytes.buffer);
    view.setUint32(4, 2, true);
    view.setUint32(bytes.length - 4, crc32c(bytes.subarray(0, -4)), true);
    const now = { ...IDENTITY, kvSpec: "k4v4,window=16bit" };
    const copy = restore(bytes, { formats, identity: now });
    expect(copy.tokens).toEqual(made.tokens);
    const again = await saveSequence(copy.sequence, { ...now, tokens: copy.tokens });
    expect(again).toEqual(await saveSequence(made.sequence, { ...now, tokens: made.tokens }));
    // The new format of that name does not take it, whether its pages look alike or not.
    for (const own of [formats, [eightBitFormat(16, 144)]]) {
      const error = errorOf(() => restore(bytes, { formats: own, identity: { ...IDENTITY, kvSpec: "k4v4" } }));
      expect([error.code, error.message]).toEqual([
        "invalid_file",
        "snapshot: it has another KV format: expected k4v4, got k4v4,window=16bit; load the model with --kv k4v4,window=16bit",
      ]);
    }
  });

  it("refuses a file of `auto` from when it held sinks in 16 bits by the name of what differs", async () => {
    const now = parseKvSpec("auto").forLayer(0);
    const identity = { ...IDENTITY, kvSpec: "auto" };
    const { windowBits, ...before } = now;
    expect(windowBits).toBe(8);
    const { cache } = makeCache([before]);
    const sequence = cache.createSequence();
    sequence.reserve(200);
    sequence.commit(200);
    const bytes = await saveSequence(sequence, identity);
    const fixture = makeCache([now]);
    expect(errorOf(() => restoreSequence(fixture.cache, bytes, identity))).toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/layer 0: expected exactPageBytes \d+, got \d+;/),
    });
    expect(fixture.pool.numPages).toBe(0);
  });

  it("refuses to restore over the budget and keeps nothing", async () => {
    const made = makeSequence([{ tokens: range(130), keep: 1 }]);
    const bytes = await save(made);
    const needed = made.sequence.numBytes;
    expect(errorOf(() => restore(bytes, { budgetBytes: needed - 1 })).code).toBe("out_of_memory");
    expect(restore(bytes, { budgetBytes: needed }).sequence.numBytes).toBe(needed);
    const fixture = makeCache(FORMATS);
    fixture.storage.allowance = 7;
    expect(() => restoreSequence(fixture.cache, bytes, IDENTITY)).toThrow("device out of memory");
    expect([fixture.pool.numBytes, fixture.storage.numBytes]).toEqual([0, 0]);
  });

  it("refuses a header that lies although the checksum is right", async () => {
    const bytes = await save(makeSequence([{ tokens: range(30), keep: 1 }]));
    const view = new DataView(bytes.buffer);
    const headerBytes = view.getUint32(16, true);
    const text = new TextDecoder().decode(bytes.subarray(20, 20 + headerBytes));
    const rewrite = (
      change: (header: Record<string, unknown> & { layers: Record<string, unknown>[] }) => unknown,
    ): Uint8Array => {
      const header = JSON.parse(text);
      const json = new TextEncoder().encode(JSON.stringify(change(header) ?? header));
      const file = concat([bytes.subarray(0, 20), json, bytes.subarray(20 + headerBytes)]);
      const v = new DataView(file.buffer);
      v.setBigUint64(8, BigInt(file.length), true);
      v.setUint32(16, json.length, true);
      v.setUint32(file.length - 4, crc32c(file.subarray(0, -4)), true);
      return file;
    };
    expect(restore(rewrite(() => undefined)).sequence.length).toBe(30);
    const lies: Record<string, Parameters<typeof rewrite>[0]> = {
      "a length of more pages": (h) => ({ ...h, length: 200 }),
      "a length above the tokens": (h) => ({ ...h, length: 31 }),
      "a negative length": (h) => ({ ...h, length: -1 }),
      "more tokens": (h) => ({ ...h, numTokens: 1e15 }),
      "no layers": (h) => ({ ...h, layers: undefined }),
      "a layer of null": (h) => ({ ...h, layers: [null] }),
      "exactStart past the end": (h) => void (h.layers[0]!["exactStart"] = 99),
      "other 16-bit pages, as many": (h) => void (h.layers[0]!["exactPages"] = [0, 7]),
      "16-bit pages that are text": (h) => void (h.layers[0]!["exactPages"] = ["0", "1"]),
      "codes of other tokens": (h) => void (h.layers[4]!["codedTokens"] = 8),
      "codes of more tokens than there are": (h) => void (h.layers[4]!["codedTokens"] = 31),
      "codes of no tokens": (h) => void delete h.layers[4]!["codedTokens"],
      "another page size": (h) => void (h.layers[0]!["mainPageBytes"] = 1),
      "a list": () => [],
      "a number": () => 7,
    };
    for (const [what, change] of Object.entries(lies)) {
      expect(errorOf(() => restore(rewrite(change))).code, what).toBe("invalid_file");
    }
    const shifted = bytes.slice();
    new DataView(shifted.buffer).setUint32(16, headerBytes + 1, true);
    expect(errorOf(() => restore(shifted)).message).toContain("checksum");
  });

  it("reads a file that does not start at the beginning of its buffer", async () => {
    const made = makeSequence([{ tokens: range(30), keep: 1 }]);
    const bytes = await save(made);
    const shifted = concat([Uint8Array.of(1, 2, 3), bytes]).subarray(3);
    expect(restore(shifted).tokens).toEqual(made.tokens);
  });

  it("works on a cache without tokens", async () => {
    const fixture: Fixture = makeCache(FORMATS);
    const bytes = await saveSequence(fixture.cache.createSequence(), IDENTITY);
    expect(restore(bytes).sequence.length).toBe(0);
  });
});
