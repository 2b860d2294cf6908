/** @file Tensor types of GGUF by number (ggml.h), and which of them are weight formats here. */
import type { WeightType } from "../../weights/registry.ts";

export interface GgufType {
  readonly name: string;
  /** Values of a block and their bytes. */
  readonly values: number;
  readonly bytes: number;
  /** The weight format; absent for types that we do not read. */
  readonly format?: WeightType;
}

const type = (name: string, values: number, bytes: number, format?: WeightType): GgufType =>
  format ? { name, values, bytes, format } : { name, values, bytes };

/** Numbers of types that ggml no longer has. */
const GONE: Readonly<Record<number, string>> = {
  ...{ 4: "q4_2", 5: "q4_3", 31: "q4_0_4_4", 32: "q4_0_4_8", 33: "q4_0_8_8" },
  ...{ 36: "iq4_nl_4_4", 37: "iq4_nl_4_8", 38: "iq4_nl_8_8" },
};

const TYPES: ReadonlyMap<number, GgufType> = new Map([
  [0, type("f32", 1, 4, "f32")],
  [1, type("f16", 1, 2, "f16")],
  [2, type("q4_0", 32, 18, "q4_0")],
  [3, type("q4_1", 32, 20, "q4_1")],
  [6, type("q5_0", 32, 22, "q5_0")],
  [7, type("q5_1", 32, 24, "q5_1")],
  [8, type("q8_0", 32, 34, "q8_0")],
  [9, type("q8_1", 32, 36)],
  [10, type("q2_k", 256, 84, "q2_k")],
  [11, type("q3_k", 256, 110, "q3_k")],
  [12, type("q4_k", 256, 144, "q4_k")],
  [13, type("q5_k", 256, 176, "q5_k")],
  [14, type("q6_k", 256, 210, "q6_k")],
  [15, type("q8_k", 256, 292)],
  [16, type("iq2_xxs", 256, 66)],
  [17, type("iq2_xs", 256, 74)],
  [18, type("iq3_xxs", 256, 98)],
  [19, type("iq1_s", 256, 50)],
  [20, type("iq4_nl", 32, 18, "iq4_nl")],
  [21, type("iq3_s", 256, 110)],
  [22, type("iq2_s", 256, 82)],
  [23, type("iq4_xs", 256, 136, "iq4_xs")],
  [24, type("i8", 1, 1)],
  [25, type("i16", 1, 2)],
  [26, type("i32", 1, 4)],
  [27, type("i64", 1, 8)],
  [28, type("f64", 1, 8)],
  [29, type("iq1_m", 256, 56)],
  [30, type("bf16", 1, 2, "bf16")],
  [34, type("tq1_0", 256, 54)],
  [35, type("tq2_0", 256, 66)],
  [39, type("mxfp4", 32, 17, "mxfp4")],
  [40, type("nvfp4", 64, 36)],
]);

/** What a type is called in messages, one without a reader too. */
export function typeName(number: number): string {
  const name = TYPES.get(number)?.name ?? GONE[number];
  if (name === undefined) return `type ${number}, which ggml does not have`;
  return TYPES.has(number) ? name : `${name} (type ${number}), which ggml does not have any more`;
}

export const ggufType = (number: number): GgufType | undefined => TYPES.get(number);

/** All types that files may have, by their numbers. */
export const ggufTypes = (): readonly (readonly [number: number, type: GgufType])[] => [...TYPES];

/** Names of the types that are read, for messages. */
export const readTypes = (): string[] => [...TYPES.values()].filter(({ format }) => format).map(({ name }) => name);
