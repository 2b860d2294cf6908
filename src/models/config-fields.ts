/** @file Typed, range-checked access to the fields of a config.json. */
import { TurboQuantError } from "../errors.ts";

import { tokenIdsOf } from "../formats/generation-config.ts";

type Json = Readonly<Record<string, unknown>>;

/** The largest position, window or length that a config may say, so that twice it fits 32 bits. */
export const MAX_POSITION = 2 ** 30;

export class ConfigFields {
  readonly #json: Json;
  readonly #file: string;
  readonly #path: string;
  /** Names that the file has for fields, by those that are asked for. */
  readonly #names: Readonly<Record<string, string>>;

  /** file: for messages · path: where this object lies in the file, e.g. `rope_scaling.` */
  constructor(json: Json, file: string, path = "", names: Readonly<Record<string, string>> = {}) {
    this.#json = json;
    this.#file = file;
    this.#path = path;
    this.#names = names;
  }

  /** The same fields, asked for by other names than the file's. names: those of the file, by those that are asked for; both are accepted */
  renamed(names: Readonly<Record<string, string>>): ConfigFields {
    return new ConfigFields(this.#json, this.#file, this.#path, names);
  }

  /** The same with other values for some fields. */
  changed(values: Json): ConfigFields {
    return new ConfigFields({ ...this.#json, ...values }, this.#file, this.#path, this.#names);
  }

  /** Whether the field has a value; null counts as absent, as in Transformers. */
  has(name: string): boolean {
    return this.raw(name) !== undefined;
  }

  /** Whether the field is in the file, even as null. A few fields mean different things when null and when left out. */
  mentions(name: string): boolean {
    return Object.hasOwn(this.#json, this.#nameInFile(name));
  }

  /** Names of all fields of the file. */
  names(): string[] {
    return Object.keys(this.#json);
  }

  raw(name: string): unknown {
    return this.mentions(name) ? (this.#json[this.#nameInFile(name)] ?? undefined) : undefined;
  }

  /** A whole number in [min, max]. Without a fallback the field is required. */
  integer(name: string, min: number, max: number, fallback?: number): number {
    const value = this.#number(name, fallback);
    if (!Number.isInteger(value) || value < min || value > max)
      throw this.invalid(name, `a whole number from ${min} to ${max}`);
    return value;
  }

  /** A finite number in [min, max]. Without a fallback the field is required. */
  number(name: string, min: number, max: number, fallback?: number): number {
    const value = this.#number(name, fallback);
    if (!(value >= min && value <= max)) throw this.invalid(name, `a number from ${min} to ${max}`);
    return value;
  }

  /** A null counts as false, as in Transformers: the fallback is that of a file without the field. */
  boolean(name: string, fallback: boolean): boolean {
    const value = this.raw(name) ?? (this.mentions(name) ? false : fallback);
    if (typeof value !== "boolean") throw this.invalid(name, "true or false");
    return value;
  }

  string(name: string, fallback?: string): string {
    const value = this.raw(name) ?? fallback;
    if (typeof value !== "string") throw this.invalid(name, "a string");
    return value;
  }

  /** A nested object, the fallback, or undefined. */
  object(name: string, fallback?: Json): ConfigFields | undefined {
    const value = this.raw(name) ?? fallback;
    if (value === undefined) return undefined;
    if (typeof value !== "object" || Array.isArray(value)) throw this.invalid(name, "an object");
    return new ConfigFields(value as Json, this.#file, `${this.#path}${name}.`);
  }

  /** Token ids, written as one number, a list, or null or an empty list for none. fallback: when the file has no such field */
  tokenIds(name: string, fallback?: number | readonly number[]): number[] {
    const value = this.mentions(name) ? this.raw(name) : fallback;
    const ids = value === undefined ? [] : tokenIdsOf(value);
    if (!ids) throw this.invalid(name, "a token id or a list of them");
    return ids;
  }

  /** The error for a field with a wrong value. */
  invalid(name: string, expected: string): TurboQuantError {
    const value = this.raw(name);
    const got = value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80);
    const field = `${this.#path}${this.#nameInFile(name)}`;
    return new TurboQuantError(
      "invalid_file",
      `${this.#file}: ${field}: expected ${expected}, got ${got}; correct the file or download it again`,
      { file: this.#file, field, got: value },
    );
  }

  unsupported(name: string, what: string): TurboQuantError {
    const value = JSON.stringify(this.raw(name))?.slice(0, 80) ?? "nothing";
    const field = `${this.#path}${this.#nameInFile(name)}`;
    return new TurboQuantError("unsupported", `${this.#file}: ${field}: ${what}, got ${value}`, {
      file: this.#file,
      field,
      got: this.raw(name),
    });
  }

  #nameInFile(name: string): string {
    const own = Object.hasOwn(this.#names, name) ? this.#names[name]! : name;
    return own !== name && !Object.hasOwn(this.#json, own) && Object.hasOwn(this.#json, name) ? name : own;
  }

  #number(name: string, fallback: number | undefined): number {
    const value = this.raw(name) ?? fallback;
    if (typeof value !== "number") throw this.invalid(name, "a number");
    return value;
  }
}
