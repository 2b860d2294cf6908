/** @file The interface of a scheme, a way of quantizing safetensors checkpoints: how it is recognized, and how its weights are read. */
import type { WeightType } from "../../weights/registry.ts";
import type { JsonObject } from "../json-file.ts";

/** A tensor of the file, of any dtype, and its bytes. */
export interface Part {
  readonly name: string;
  /** As the file spells it: `I32`, `F16`, `F8_E4M3`. */
  readonly stored: string;
  readonly shape: readonly number[];
  readonly numBytes: number;
  read(): Promise<Uint8Array>;
}

/** The tensors of one weight, such as `qweight`, `qzeros` and `scales`. */
export interface QuantizedWeight {
  /** The name without the part's own: `model.layers.0.mlp.down_proj`. */
  readonly module: string;
  /** By what follows the module's name: `qweight`, `weight`, `weight_scale`. */
  readonly parts: ReadonlyMap<string, Part>;
}

/** A weight in a format of the registry. */
export interface ReadableWeight {
  readonly dtype: WeightType;
  /** [outputs, inputs], or with experts before them. */
  readonly shape: readonly number[];
  /** Rows as the format stores them. */
  read(): Promise<Uint8Array>;
}

/** A kind of codes that a scheme reads, for the table in docs/models.md. */
export interface QuantKind {
  /** `4 bits`, `FP8 by block`. */
  readonly what: string;
  /** The format that its rows are handed over in. */
  readonly as: WeightType;
  /** Whether that format holds the codes as they are, where blocks have a scale in common. */
  readonly keepsCodes: boolean;
}

export interface QuantScheme {
  /** As errors and docs call it. */
  readonly name: string;
  readonly kinds: readonly QuantKind[];
  /** The part of a config.json that describes it; null when it is of another kind. */
  settings(config: JsonObject): JsonObject | null;
  /** The format that most matrices are handed over in, as far as the settings alone say; null where they do not. */
  plannedType(settings: JsonObject): WeightType | null;
  /** What is quantized where it is not the matrices and experts of layers alone. */
  quantizes?(settings: JsonObject): Partial<Record<"matrix" | "experts" | "embedding" | "head", boolean>>;
  /** What the names of its parts end in, behind the module's name and a dot. */
  readonly parts: readonly string[];
  /** In the place of the dot; such a weight is called as its module is, without `.weight`. */
  readonly separator?: "_";
  /**
   * settings: as above. Null where these tensors are a plain weight after all.
   * @throws TurboQuantError invalid_file — shapes that do not fit the settings; unsupported — settings without a reader
   */
  weight(
    weight: QuantizedWeight,
    settings: JsonObject,
    refuse: Refuse,
  ): ReadableWeight | null | Promise<ReadableWeight | null>;
}

/** Makes the error for a tensor of the checkpoint: what was expected, what is there. */
export interface Refuse {
  invalid(tensor: string, what: string): Error;
  unsupported(tensor: string, what: string): Error;
}
