/** @file Slots of the uniform buffer: one for each content, sent once, and used anew when all are taken. */
import { describe, expect, it } from "vitest";
import { Struct } from "../../parameters/struct.ts";
import { PARAM_BYTES, Uniforms } from "./uniforms.ts";

const SLOTS = 4096;
const pair = new Struct({ a: "u32", b: "f32" });
const single = new Struct({ a: "u32" });

/** The device's bytes, and how often something was sent there. */
function open(onFull = () => {}) {
  const bytes = new Uint32Array((SLOTS * PARAM_BYTES) / 4);
  let writes = 0;
  const queue = {
    writeBuffer: (_to: GPUBuffer, offset: number, from: Uint32Array, start: number, count: number) => {
      writes++;
      bytes.set(from.subarray(start, start + count), offset / 4);
    },
  };
  const device = { createBuffer: () => ({}), queue } as unknown as GPUDevice;
  return { uniforms: new Uniforms(device, onFull), bytes, writes: () => writes };
}

describe("Uniforms", () => {
  it("gives the same numbers one slot and sends it once", () => {
    const { uniforms, bytes, writes } = open();
    const first = uniforms.offsetOf(pair, { a: 7, b: 0.5 });
    const second = uniforms.offsetOf(pair, { a: 7, b: -0.5 });
    expect(second).not.toBe(first);
    expect(uniforms.offsetOf(pair, { a: 7, b: 0.5 })).toBe(first);
    uniforms.upload();
    const view = new DataView(bytes.buffer);
    expect([view.getUint32(first, true), view.getFloat32(first + 4, true)]).toEqual([7, 0.5]);
    expect(view.getFloat32(second + 4, true)).toBe(-0.5);
    uniforms.offsetOf(pair, { a: 7, b: 0.5 });
    uniforms.upload();
    expect(writes()).toBe(1);
    uniforms.offsetOf(single, { a: 8 });
    uniforms.upload();
    expect(writes()).toBe(2);
  });

  it("keeps apart what differs, as many as there are, and begins again after that", () => {
    let submits = 0;
    const { uniforms, bytes } = open(() => {
      submits++;
      uniforms.upload();
    });
    const offsets = new Set<number>();
    // Numbers whose low bits are alike, as those of floats are.
    const value = (i: number): number => 2 ** 20 * (i & 4095);
    for (let i = 0; i < SLOTS; i++) offsets.add(uniforms.offsetOf(pair, { a: value(i), b: i }));
    expect([offsets.size, submits]).toEqual([SLOTS, 0]);
    for (let i = 0; i < SLOTS; i++) expect(offsets.has(uniforms.offsetOf(pair, { a: value(i), b: i }))).toBe(true);
    expect(submits).toBe(0);
    expect(uniforms.offsetOf(pair, { a: 1, b: 2 })).toBe(0);
    expect(submits).toBe(1);
    uniforms.upload();
    expect([...bytes.subarray(0, 2)]).toEqual([1, 0x40000000]);
  });
});
