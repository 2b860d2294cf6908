/** @file Reads the fields of a component of tokenizer.json, and refuses what is not here by its name. */
import { TurboQuantError } from "../../errors.ts";
import { isJsonObject, type JsonObject } from "../../formats/json-file.ts";

export class Component {
  readonly #json: JsonObject;
  /** File and field, for messages. */
  readonly where: string;
  readonly type: string;

  constructor(json: unknown, where: string) {
    this.where = where;
    if (!isJsonObject(json)) throw this.invalid("an object", json);
    this.#json = json;
    this.type = typeof json["type"] === "string" ? json["type"] : "";
  }

  invalid(expected: string, got: unknown): TurboQuantError {
    return new TurboQuantError(
      "invalid_file",
      `${this.where}: expected ${expected}, got ${(JSON.stringify(got) ?? "nothing").slice(0, 80)}; download the file again`,
    );
  }

  unsupported(what: string): TurboQuantError {
    return new TurboQuantError(
      "unsupported",
      `${this.where}: ${what} is not supported, and text would become other tokens without it; choose another model`,
    );
  }

  unknownType(): TurboQuantError {
    return this.unsupported(`type ${this.type === "" ? "(none)" : this.type.slice(0, 60)}`);
  }

  get(name: string): unknown {
    return this.#json[name] ?? undefined;
  }

  #typed<T>(name: string, type: string, expected: string, fallback: T | undefined): T {
    const value = this.get(name) ?? fallback;
    if (typeof value !== type) throw new Component({}, `${this.where}.${name}`).invalid(expected, value);
    return value as T;
  }

  boolean(name: string, fallback?: boolean): boolean {
    return this.#typed(name, "boolean", "true or false", fallback);
  }

  text(name: string, fallback?: string): string {
    return this.#typed(name, "string", "a text", fallback);
  }

  number(name: string, fallback?: number): number {
    return this.#typed(name, "number", "a number", fallback);
  }

  list(name: string): readonly unknown[] {
    const value = this.get(name);
    if (!Array.isArray(value)) throw new Component({}, `${this.where}.${name}`).invalid("a list", value);
    return value;
  }

  part(name: string): Component {
    return new Component(this.get(name), `${this.where}.${name}`);
  }

  parts(name: string): Component[] {
    return this.list(name).map((part, index) => new Component(part, `${this.where}.${name}[${index}]`));
  }
}
