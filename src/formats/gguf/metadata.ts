/** @file Typed access to the metadata of a GGUF file. */
import { TurboQuantError } from "../../errors.ts";
import { TextList } from "../text-list.ts";
import type { GgufValue } from "./cursor.ts";

/** What converters write for a token that a vocabulary does not have: −1 as a number without a sign. */
const NO_TOKEN = 2 ** 32 - 1;
const MAX_LAYERS = 1024;

export class Metadata {
  readonly #values: ReadonlyMap<string, GgufValue>;
  readonly #where: string;
  /** `general.architecture`. */
  readonly architecture: string;

  /** where: the file, for messages */
  constructor(values: ReadonlyMap<string, GgufValue>, where: string) {
    this.#values = values;
    this.#where = where;
    this.architecture = this.string("general.architecture");
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** A key of the architecture, such as `llama.block_count` for `block_count`. */
  own(key: string): string {
    return `${this.architecture}.${key}`;
  }

  /** Layers of the model itself; a file may have others behind them, which guess further tokens and are not computed with. */
  get numLayers(): number {
    const count = this.size(this.own("block_count"), MAX_LAYERS);
    const guessing = this.#values.get(this.own("nextn_predict_layers"));
    return typeof guessing === "number" && guessing > 0 && guessing < count ? count - guessing : count;
  }

  /** A list with an entry for each layer of the model; undefined for another value or none. */
  perLayer(key: string): readonly GgufValue[] | undefined {
    const value = this.#values.get(key);
    return Array.isArray(value) ? value.slice(0, this.numLayers) : undefined;
  }

  /**
   * A whole number from 1 to `most`; of an array, which has an entry for each layer, the one value that all of them have.
   * Without a fallback it is required.
   */
  size(key: string, most: number, fallback?: number): number {
    const value = this.#values.get(key) ?? fallback;
    if (!Array.isArray(value)) return this.#whole(key, value, 1, most);
    const layers = this.#values.get(this.own("block_count"));
    if (value.length !== layers) throw this.invalid(key, `one number, or one for each of ${layers} layers`);
    const different = this.perLayer(key)!.find((entry) => entry !== value[0]);
    if (different !== undefined) {
      throw this.unsupported(key, `expected one number for all layers, got ${value[0]} and ${different}`);
    }
    return this.#whole(key, value[0], 1, most);
  }

  /** As `size`, of the entries of an array that are not 0. */
  sizeOfOthers(key: string, most: number, fallback?: number): number {
    const value = this.#values.get(key);
    if (!Array.isArray(value)) return this.size(key, most, fallback);
    const others = this.perLayer(key)!.filter((entry) => entry !== 0);
    if (others.some((entry) => entry !== others[0]))
      throw this.unsupported(key, `expected one number for all layers that have one, got several`);
    return this.#whole(key, others[0], 1, most);
  }

  /** A number from `least` to `most`. Without a fallback it is required. */
  number(key: string, least: number, most: number, fallback?: number): number {
    const value = this.#values.get(key) ?? fallback;
    if (typeof value === "number" && value >= least && value <= most) return value;
    throw this.invalid(key, `a number from ${least} to ${most}`);
  }

  /** The value of a key, of whatever type. */
  raw(key: string): GgufValue | undefined {
    return this.#values.get(key);
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#values.get(key) ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.invalid(key, "true or false");
  }

  string(key: string, fallback?: string): string {
    const value = this.#values.get(key) ?? fallback;
    if (typeof value === "string") return value;
    throw this.invalid(key, "a string");
  }

  texts(key: string): TextList {
    const value = this.#values.get(key);
    if (value instanceof TextList) return value;
    if (Array.isArray(value) && value.every((entry) => typeof entry === "string")) return TextList.of(value);
    throw this.invalid(key, "a list of strings");
  }

  /** length: of what is returned; what a longer list has behind it stands for nothing */
  numbers(key: string, length: number): readonly number[] {
    const value = this.#values.get(key);
    const isNumber = (entry: unknown): boolean => typeof entry === "number" && !Number.isNaN(entry);
    if (Array.isArray(value) && value.length >= length && value.every(isNumber)) return value.slice(0, length);
    throw this.invalid(key, `a list of ${length} numbers`);
  }

  /** The id of a token, if the key is there and does not say that there is none. vocabSize: ids are below it */
  tokenId(key: string, vocabSize: number): number | undefined {
    const value = this.#values.get(key);
    if (value === undefined || value === NO_TOKEN || value === -1) return undefined;
    const id = this.#whole(key, value, 0, Number.MAX_SAFE_INTEGER);
    if (id < vocabSize) return id;
    throw this.invalid(key, `the id of one of ${vocabSize} tokens`);
  }

  invalid(key: string, expected: string): TurboQuantError {
    const value = this.#values.get(key);
    const got =
      value === undefined
        ? "nothing"
        : Array.isArray(value) || value instanceof TextList
          ? `a list of ${value.length}`
          : `${value}`.slice(0, 80);
    return new TurboQuantError(
      "invalid_file",
      `${this.#where}: ${key}: expected ${expected}, got ${got}; convert the model again or download another file`,
      { key },
    );
  }

  #whole(key: string, value: unknown, least: number, most: number): number {
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    throw this.invalid(key, `a whole number from ${least} ${most < 2 ** 31 ? `to ${most}` : "on"}`);
  }

  unsupported(key: string, what: string): TurboQuantError {
    return new TurboQuantError("unsupported", `${this.#where}: ${key}: ${what}; choose another model`, { key });
  }
}
