/**
 * @file The forms in which checkpoints have the matrices of experts: one tensor for each, or all experts in one, gate and up
 * apart or together, one after the other or in turns, as they are or transposed.
 *
 * All become the rows of one matrix: expert by expert, gate and then up.
 */
import type { TensorSpec, WeightSpec } from "./block.ts";
import type { RowOrder } from "./row-order.ts";

/** What a checkpoint calls the tensors of a mixture, without the layer's prefix. */
export interface ExpertNames {
  /** The router's matrix; `.weight` and perhaps `.bias` follow. */
  readonly router: string;
  /** Whole names that the bias has which only the choice sees; absent: there is none. */
  readonly choiceBias?: string | readonly string[];
  /** The whole name of the factors that experts count with; absent: there are none. */
  readonly expertScales?: string;
  /** Before the number of an expert, a dot, and `gate`, `up` or `down`; without the number, matrices of all experts in one tensor. */
  readonly experts: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
  /** Tensors with gate and up, and with down, of all experts: their whole names. */
  readonly stacked?: { readonly gateUp: string; readonly down: string };
}

/** How tensors with the matrices of all experts are stored. */
export interface StackLayout {
  /** Whether floats are stored as [experts][inputs][outputs]; matrices in blocks are not. */
  readonly isTransposed: boolean;
  /** Whether rows of gate and of up take turns. */
  readonly isInterleaved: boolean;
  /** Whether Transformers saves such tensors, rather than one for each matrix. */
  readonly isUsual?: boolean;
}

export interface ExpertShapes {
  readonly numExperts: number;
  readonly width: number;
  readonly hiddenSize: number;
  readonly isGated: boolean;
  readonly stack: StackLayout;
}

interface Forms {
  readonly gateUp: readonly (readonly TensorSpec[])[];
  readonly down: readonly (readonly TensorSpec[])[];
}

/** Rows of which gate and up take turns, brought one after the other. */
const untwisted = (width: number): RowOrder => ({
  unit: 2 * width,
  place: (row) => {
    const within = row % (2 * width);
    return row - within + (within & 1) * width + (within >> 1);
  },
});

/** Rows of gate, or of up, of all experts, into the places that they have among those of both. */
const spread = (width: number, offset: number): RowOrder => ({
  unit: width,
  place: (row) => row + (row - (row % width)) + offset,
});

/** prefix: of the layer */
export function expertForms(prefix: string, names: ExpertNames, shapes: ExpertShapes): Forms {
  const { numExperts, width, hiddenSize, isGated, stack } = shapes;
  const base = `${prefix}${names.experts}.`;
  const numbers = Array.from({ length: numExperts }, (_, expert) => expert);
  const ofOne = (expert: number, name: string, rows: number, cols: number): TensorSpec => ({
    name: `${base}${expert}.${name}.weight`,
    shape: [rows, cols],
  });
  const ofAll = (name: string, rows: number, cols: number): TensorSpec => ({
    name: `${base}${name}.weight`,
    shape: [numExperts, rows, cols],
  });
  const gateUp: TensorSpec[][] = [
    numbers.flatMap((expert) =>
      [...(isGated ? [names.gate] : []), names.up].map((name) => ofOne(expert, name, width, hiddenSize)),
    ),
    isGated
      ? [names.gate, names.up].map((name, i) => ({
          ...ofAll(name, width, hiddenSize),
          first: 0,
          order: spread(width, i * width),
        }))
      : [ofAll(names.up, width, hiddenSize)],
  ];
  const down: TensorSpec[][] = [
    numbers.map((expert) => ofOne(expert, names.down, hiddenSize, width)),
    [ofAll(names.down, hiddenSize, width)],
  ];
  if (names.stacked) {
    const own = stackedForms(prefix, names.stacked, shapes);
    const { isUsual } = stack;
    return {
      gateUp: isUsual ? [...own.gateUp, ...gateUp] : [...gateUp, ...own.gateUp],
      down: isUsual ? [...own.down, ...down] : [...down, ...own.down],
    };
  }
  return { gateUp, down };
}

function stackedForms(prefix: string, names: NonNullable<ExpertNames["stacked"]>, shapes: ExpertShapes): Forms {
  const { numExperts, width, hiddenSize, isGated, stack } = shapes;
  const rows = isGated ? 2 * width : width;
  const order = isGated && stack.isInterleaved ? { order: untwisted(width) } : {};
  const form = (name: string, outputs: number, inputs: number, more: object): TensorSpec[][] => {
    const tensor = { name: `${prefix}${name}`, shape: [numExperts, outputs, inputs], ...more };
    if (!stack.isTransposed) return [[tensor]];
    // A square says nothing of itself.
    return [
      [{ ...tensor, shape: [numExperts, inputs, outputs], isTransposed: true, stored: "floats" }],
      [{ ...tensor, stored: "blocks" }],
    ];
  };
  return {
    gateUp: form(names.gateUp, rows, hiddenSize, order),
    down: form(names.down, hiddenSize, width, {}),
  };
}

/** Biases of all experts, each side in one tensor; in files with gate and up apart, one for each. */
export function expertVectors(
  prefix: string,
  names: ExpertNames,
  { numExperts, width, hiddenSize, isGated, stack }: ExpertShapes,
): { readonly gateUp: WeightSpec; readonly down: WeightSpec } {
  const { gateUp, down } = names.stacked!;
  const rows = isGated ? 2 * width : width;
  const apart = (name: string, length: number, more: object = {}): TensorSpec => ({
    name: `${prefix}${names.experts}.${name}.bias`,
    shape: [numExperts, length],
    ...more,
  });
  return {
    gateUp: {
      role: "bias",
      tensors: [
        {
          name: `${prefix}${gateUp}_bias`,
          shape: [numExperts, rows],
          ...(stack.isInterleaved && { order: untwisted(width) }),
        },
      ],
      forms: [
        isGated
          ? [names.gate, names.up].map((name, i) => apart(name, width, { first: 0, order: spread(width, i * width) }))
          : [apart(names.up, width)],
      ],
    },
    down: {
      role: "bias",
      tensors: [{ name: `${prefix}${down}_bias`, shape: [numExperts, hiddenSize] }],
      forms: [[apart(names.down, hiddenSize)]],
    },
  };
}
