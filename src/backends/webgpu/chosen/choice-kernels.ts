/** @file The kernels that choose the best of candidates by numbers in the order of their scores. */
import { Struct } from "../../parameters/struct.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shader } from "../queue/shader-text.ts";
import { STEP_VALUES } from "../queue/step-records.ts";
import { CHOICE_THREADS } from "./choice-plan.ts";

const WORTH_THREADS = 64;

const shapeFields = {
  lists: ["u32", "Lists of a row, candidates that are chosen for each, and tokens of a candidate."],
  count: "u32",
  blockSize: "u32",
} as const;

const choiceParams = new Struct({
  rowsAt: ["u32", "Word of the rows in `step`, and the first of those that are chosen for."],
  firstRow: "u32",
  ...shapeFields,
  candidatesAt: ["u32", "Where the numbers of candidates begin, and words from a list of them to the next."],
  stride: "u32",
  digit: ["u32", "The digit that is counted."],
  countWords: ["u32", "Words from the counts of a list to those of the next."],
});

const worthParams = new Struct({
  rowsAt: ["u32", "Word of the rows in `step`, and the first of those that are chosen for."],
  firstRow: "u32",
  lists: ["u32", "Lists of a row, tokens of a block, and the last blocks, which are always chosen."],
  blockSize: "u32",
  local: "u32",
  stride: ["u32", "Words from the numbers of a list's tokens to those of the next."],
  worthAt: ["u32", "The same of blocks, and where they begin."],
  worthStride: "u32",
  groups: ["u32", "Workgroups of a list."],
});

/** What is chosen: the fields of the same names that kernels are told. */
export interface ChoiceShape {
  readonly lists: number;
  readonly count: number;
  readonly blockSize: number;
}

export interface ChoiceKernels {
  /** Null where single tokens are chosen. */
  readonly worth: Kernel<typeof worthParams> | null;
  readonly digits: Kernel<typeof choiceParams>;
  readonly counts: Kernel<typeof choiceParams>;
  readonly positions: Kernel<typeof choiceParams>;
}

/** The same for every layer that chooses blocks, and for every one that chooses tokens. */
export function choiceKernels(commands: Commands, choosesBlocks: boolean): ChoiceKernels {
  const values = { ...STEP_VALUES, THREADS: CHOICE_THREADS };
  return {
    worth: choosesBlocks
      ? commands.kernel("block-worth", () => ({
          label: "worth of blocks",
          shader: shader("block-worth", worthParams, { ...STEP_VALUES, THREADS: WORTH_THREADS }),
          buffers: ["read", "write"],
        }))
      : null,
    digits: commands.kernel("count-digits", () => ({
      label: "digits of scores",
      shader: shader("count-digits", choiceParams, values),
      buffers: ["read", "read", "write"],
    })),
    counts: commands.kernel("count-chosen", () => ({
      label: "counts of chosen tokens",
      shader: shader("count-chosen", choiceParams, values),
      buffers: ["read", "read", "read", "write"],
    })),
    positions: commands.kernel("write-positions", () => ({
      label: "positions of chosen tokens",
      shader: shader("write-positions", choiceParams, values),
      buffers: ["read", "read", "write", "read", "write"],
    })),
  };
}
