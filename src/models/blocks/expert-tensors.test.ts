/** @file Every form in which checkpoints have experts becomes the same rows: expert by expert, gate and then up. */
import { describe, expect, it } from "vitest";
import { transposedPart } from "../transposed-part.ts";
import { sizeOf, type TensorSpec } from "./block.ts";
import { type ExpertNames, expertForms } from "./expert-tensors.ts";

const [numExperts, width, hiddenSize] = [3, 4, 8];
const names: ExpertNames = {
  router: "gate",
  experts: "experts",
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj",
  stacked: { gateUp: "experts.gate_up_proj", down: "experts.down_proj" },
};

const forms = (isInterleaved: boolean, isTransposed: boolean) =>
  expertForms("", names, {
    numExperts,
    width,
    hiddenSize,
    isGated: true,
    stack: { isTransposed, isInterleaved },
  });

/** What a row of a tensor is, e.g. `1 up 3`. */
function rowOf({ name }: TensorSpec, row: number, isInterleaved: boolean): string {
  const one = /^experts\.(\d+)\.(gate|up)_proj\.weight$/.exec(name);
  if (one) return `${one[1]} ${one[2]} ${row}`;
  const apart = /^experts\.(gate|up)_proj\.weight$/.exec(name);
  if (apart) return `${Math.floor(row / width)} ${apart[1]} ${row % width}`;
  const [expert, within] = [Math.floor(row / (2 * width)), row % (2 * width)];
  if (isInterleaved) return `${expert} ${within % 2 === 0 ? "gate" : "up"} ${within >> 1}`;
  return `${expert} ${within < width ? "gate" : "up"} ${within % width}`;
}

/** The rows of the weight that the tensors make. */
function weightRows(tensors: readonly TensorSpec[], isInterleaved: boolean): string[] {
  const rows: string[] = [];
  let next = 0;
  for (const tensor of tensors) {
    const { rows: count } = sizeOf(tensor);
    const first = tensor.first ?? next;
    for (let row = 0; row < count; row++) {
      rows[first + (tensor.order?.place(row) ?? row)] = rowOf(tensor, row, isInterleaved);
    }
    next += count;
  }
  return rows;
}

const EXPECTED = Array.from({ length: numExperts }, (_, expert) =>
  ["gate", "up"].flatMap((part) => Array.from({ length: width }, (_, i) => `${expert} ${part} ${i}`)),
).flat();

describe("tensors of experts", () => {
  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])("gate and up taking turns %s, transposed %s", (isInterleaved, isTransposed) => {
    const { gateUp, down } = forms(isInterleaved, isTransposed);
    expect(gateUp.length).toBe(isTransposed ? 4 : 3);
    for (const form of gateUp) {
      expect(weightRows(form, isInterleaved)).toEqual(EXPECTED);
      expect(form.every((tensor) => sizeOf(tensor).cols === hiddenSize)).toBe(true);
    }
    for (const form of down) {
      expect(form.reduce((sum, tensor) => sum + sizeOf(tensor).rows, 0)).toBe(numExperts * hiddenSize);
      expect(form.every((tensor) => sizeOf(tensor).cols === width)).toBe(true);
    }
  });

  it("matrices that are stored by columns", () => {
    // Two matrices of three rows and two columns.
    const stored = Float32Array.of(1, 3, 5, 2, 4, 6, 7, 9, 11, 8, 10, 12);
    const part = { dtype: "f32" as const, rows: 6, cols: 2, data: new Uint8Array(stored.buffer) };
    const { data } = transposedPart(part, 3);
    expect([...new Float32Array(data.slice().buffer)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  });
});
