/** @file Compiles grammars for a model's vocabulary, and keeps those that were used last. */
import { TurboQuantError } from "../../errors.ts";
import type { GenerateOptions, RunOptions } from "../generation.ts";
import type { TokenConstraint } from "../token-constraint.ts";
import { type Grammar, grammarText } from "./grammar.ts";
import { GrammarConstraint } from "./grammar-constraint.ts";
import { type Address, type GrammarKind, GrammarModule } from "./grammar-module.ts";

/** What grammars need of a tokenizer. */
export interface GrammarTokenizer {
  readonly vocabSize: number;
  tokenBytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
}

/** The most compiled grammars that are kept. */
const MAX_KEPT = 64;
/** What the engine puts before the text of a special token, so that no ordinary text is taken for it. */
const SPECIAL_MARKER = 0xff;

interface Engine {
  readonly module: GrammarModule;
  readonly vocabulary: Address;
}

export class Grammars {
  readonly #tokenizer: GrammarTokenizer;
  readonly #stops: readonly number[];
  /** For all answers. A grammar that ends it ends those that are at work. */
  #engine: Promise<Engine> | undefined;
  /** Where a new grammar is compiled first, beside a vocabulary of bytes, and which nobody misses when it fails. */
  #trial: Promise<Engine> | undefined;
  /** Matchers at the beginning of their grammars, the least recently used first. */
  #kept = new Map<string, Address>();

  /** stops: tokens that end an answer */
  constructor(tokenizer: GrammarTokenizer, stops: Iterable<number>) {
    this.#tokenizer = tokenizer;
    this.#stops = [...stops];
  }

  /**
   * A constraint at the beginning of a grammar, for one continuation. `release` it when the continuation has ended.
   *
   * what: the option that the grammar is from, for messages
   * @throws TurboQuantError invalid_argument — a grammar with a mistake, or one that no text fits; unsupported — one with what the engine does not
   * know, or a model that has no token to end an answer with; unsupported — the engine is not in this installation
   */
  async constraint(grammar: Grammar, what = "grammar"): Promise<TokenConstraint> {
    const { module, vocabulary } = await this.#running();
    try {
      const { kind, text } = grammarText(grammar);
      const key = `${kind}:${text}`;
      if (!this.#kept.has(key)) await this.#tryOut(kind, text);
      const matcher = this.#kept.get(key) ?? compiled(module, vocabulary, kind, text);
      this.#keep(key, matcher, module);
      return new GrammarConstraint(module, module.fork(matcher), this.#tokenizer.vocabSize);
    } catch (error) {
      if (!(error instanceof TurboQuantError) || error.code === "unavailable") throw error;
      throw new TurboQuantError(error.code, `${what}: ${error.message}`, error.detail, { cause: error });
    }
  }

  /** @throws TurboQuantError invalid_argument — a grammar that the engine does not survive */
  async #tryOut(kind: GrammarKind, text: string): Promise<void> {
    let engine: Engine;
    do {
      this.#trial ??= this.#start((bytes, isSpecial) => isSpecial || bytes.length === 1);
      const own = this.#trial;
      try {
        engine = await own;
      } catch (error) {
        if (this.#trial === own) this.#trial = undefined;
        throw error;
      }
      // A grammar that was tried while this one waited may have ended it.
      if (engine.module.isBroken && this.#trial === own) this.#trial = undefined;
    } while (engine.module.isBroken);
    const { module, vocabulary } = engine;
    try {
      const { matcher } = module.compile(vocabulary, kind, text);
      // What is wrong with it is said when it is compiled for the whole vocabulary.
      if (matcher !== 0) module.free(matcher);
    } catch (cause) {
      throw new TurboQuantError(
        "invalid_argument",
        "it refers to itself or nests too deeply, or is too large, to be compiled; simplify it",
        {},
        { cause },
      );
    }
  }

  /** The order of a map is that of insertion. */
  #keep(key: string, matcher: Address, module: GrammarModule): void {
    this.#kept.delete(key);
    this.#kept.set(key, matcher);
    const [oldest] = this.#kept;
    if (this.#kept.size <= MAX_KEPT || !oldest) return;
    this.#kept.delete(oldest[0]);
    module.free(oldest[1]);
  }

  /**
   * Options with a constraint in place of `schema` or `grammar`; the same ones where they have neither.
   * @throws TurboQuantError as `constraint`; invalid_argument — more than one of `schema`, `grammar` and `constraint`
   */
  async bind(options: GenerateOptions): Promise<RunOptions> {
    const { schema, grammar, ...others } = options;
    if (schema === undefined && grammar === undefined) return options;
    if ([schema, grammar, options.constraint].filter((one) => one !== undefined).length > 1) {
      throw new TurboQuantError(
        "invalid_argument",
        "generate: expected one of schema, grammar and constraint, got several; leave the others out",
      );
    }
    const constraint = await (schema === undefined ? this.constraint(grammar!) : this.constraint({ schema }, "schema"));
    return { ...others, constraint };
  }

  async #running(): Promise<Engine> {
    this.#engine ??= this.#start(() => true);
    try {
      const engine = await this.#engine;
      if (!engine.module.isBroken) return engine;
      this.#kept = new Map();
      this.#engine = this.#start(() => true);
      return await this.#engine;
    } catch (error) {
      this.#engine = undefined;
      throw error;
    }
  }

  /** isPart: whether a token is one of the vocabulary; the others never follow */
  async #start(isPart: (bytes: Uint8Array, isSpecial: boolean) => boolean): Promise<Engine> {
    const { vocabSize } = this.#tokenizer;
    const stops = Uint32Array.from(this.#stops.filter((id) => id < vocabSize));
    if (stops.length === 0) {
      throw new TurboQuantError(
        "unsupported",
        "structured output: this model has no end-of-sequence token, by which an answer could end; name one in its generation_config.json (eos_token_id)",
      );
    }
    const module = await GrammarModule.load();
    const ends = new Uint32Array(vocabSize);
    const parts: Uint8Array[] = [];
    let length = 0;
    for (let id = 0; id < vocabSize; id++) {
      const bytes = this.#tokenizer.tokenBytes(id);
      const isSpecial = this.#tokenizer.isSpecial(id);
      if (bytes.length > 0 && isPart(bytes, isSpecial)) {
        if (isSpecial) parts.push(Uint8Array.of(SPECIAL_MARKER));
        parts.push(bytes);
        length += bytes.length + Number(isSpecial);
      }
      ends[id] = length;
    }
    const all = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return { module, vocabulary: module.createVocabulary(all, ends, stops) };
  }
}

function compiled(module: GrammarModule, vocabulary: Address, kind: GrammarKind, text: string): Address {
  const { matcher, message } = module.compile(vocabulary, kind, text);
  if (matcher === 0) throw refused(message);
  return matcher;
}

const MAX_SHOWN = 300;

/** The engine's message as an error of ours. */
function refused(message: string): TurboQuantError {
  const why = message
    .trim()
    .replace(/^Unsatisfiable schema: /, "")
    .slice(0, MAX_SHOWN);
  if (message.startsWith("Unsatisfiable schema") || message === "no text fits it") {
    return new TurboQuantError("invalid_argument", `nothing fits it (${why}); correct what contradicts itself`);
  }
  const keys = /^Unimplemented keys: \[(.*)\]/.exec(message)?.[1];
  if (keys !== undefined) {
    return new TurboQuantError(
      "unsupported",
      `${keys.replaceAll('"', "")} of JSON Schema cannot be enforced here; leave it out, and check the answer for it`,
    );
  }
  return new TurboQuantError("invalid_argument", `it cannot be compiled: ${why}`);
}
