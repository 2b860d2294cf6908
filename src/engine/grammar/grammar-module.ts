/**
 * @file One instance of the engine that says which tokens may follow: llguidance, compiled to WebAssembly (grammar/src/lib.rs).
 *
 * It reports what is wrong with a grammar as a message. A trap would be a fault of the engine itself, after which its memory
 * cannot be trusted: the instance is given up, with all that was made in it.
 */
import { TurboQuantError } from "../../errors.ts";
import { getPlatform } from "../../platform.ts";

/** An address in the instance's memory; 0 for none. */
export type Address = number;

interface Exports {
  readonly memory: WebAssembly.Memory;
  alloc(length: number): Address;
  free(at: Address, length: number): void;
  message_at(): Address;
  message_length(): number;
  vocabulary_new(bytes: Address, ends: Address, size: number, stops: Address, numStops: number): Address;
  matcher_new(vocabulary: Address, kind: number, text: Address, length: number): Address;
  matcher_fork(matcher: Address): Address;
  matcher_free(matcher: Address): void;
  matcher_mask(matcher: Address): Address;
  matcher_advance(matcher: Address, token: number): number;
  matcher_end(matcher: Address): number;
}

/** What grammars are written in; the order is that of `matcher_new`. */
export const GRAMMAR_KINDS = ["schema", "regex", "lark"] as const;
export type GrammarKind = (typeof GRAMMAR_KINDS)[number];

let compiled: Promise<WebAssembly.Module> | undefined;

/** The compiled engine, read once; a failed attempt is made again. */
function compiledModule(): Promise<WebAssembly.Module> {
  compiled ??= (async () => {
    const open = getPlatform().openGrammarEngine;
    if (!open) {
      throw new TurboQuantError(
        "unsupported",
        "structured output: this platform has no openGrammarEngine, which gives the bytes of grammar/llguidance.wasm; add it",
      );
    }
    return WebAssembly.compile(await open());
  })();
  compiled.catch(() => {
    compiled = undefined;
  });
  return compiled;
}

const DECODER = new TextDecoder();
const ENCODER = new TextEncoder();

export class GrammarModule {
  readonly #exports: Exports;
  #isBroken = false;

  private constructor(exports: Exports) {
    this.#exports = exports;
  }

  /** @throws TurboQuantError unsupported — the engine is not in this installation */
  static async load(): Promise<GrammarModule> {
    const instance = await WebAssembly.instantiate(await compiledModule(), { env: { now: () => performance.now() } });
    return new GrammarModule(instance.exports as unknown as Exports);
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** @throws TurboQuantError unavailable — the engine failed, now or earlier */
  #call<T>(run: (exports: Exports) => T): T {
    if (!this.#isBroken) {
      try {
        return run(this.#exports);
      } catch (cause) {
        this.#isBroken = true;
        throw this.#gone(cause);
      }
    }
    throw this.#gone();
  }

  #gone(cause?: unknown): TurboQuantError {
    return new TurboQuantError(
      "unavailable",
      "structured output: its engine failed and was started anew; ask again",
      {},
      { cause },
    );
  }

  /** Passes bytes that the call reads. */
  #withBytes<T>(exports: Exports, bytes: Uint8Array, use: (at: Address) => T): T {
    const at = exports.alloc(bytes.length);
    new Uint8Array(exports.memory.buffer, at, bytes.length).set(bytes);
    const result = use(at);
    exports.free(at, bytes.length);
    return result;
  }

  /** What the last call had to say. */
  #message({ memory, message_at, message_length }: Exports): string {
    return DECODER.decode(new Uint8Array(memory.buffer, message_at(), message_length()));
  }

  /**
   * bytes: those of all tokens, one after the other · ends: [number of tokens], where each of them ends · stops: tokens that end
   * an answer, at least one
   */
  createVocabulary(bytes: Uint8Array, ends: Uint32Array, stops: Uint32Array): Address {
    const plain = (numbers: Uint32Array): Uint8Array => new Uint8Array(numbers.buffer, 0, numbers.byteLength);
    return this.#call((exports) =>
      this.#withBytes(exports, bytes, (bytesAt) =>
        this.#withBytes(exports, plain(ends), (endsAt) =>
          this.#withBytes(exports, plain(stops), (stopsAt) => {
            const vocabulary = exports.vocabulary_new(bytesAt, endsAt, ends.length, stopsAt, stops.length);
            if (vocabulary === 0) throw new Error(this.#message(exports));
            return vocabulary;
          }),
        ),
      ),
    );
  }

  /** returns: a matcher at the beginning of the grammar, or why there is none */
  compile(
    vocabulary: Address,
    kind: GrammarKind,
    text: string,
  ): { readonly matcher: Address; readonly message: string } {
    return this.#call((exports) => {
      const bytes = ENCODER.encode(text);
      const matcher = this.#withBytes(exports, bytes, (at) =>
        exports.matcher_new(vocabulary, GRAMMAR_KINDS.indexOf(kind), at, bytes.length),
      );
      return { matcher, message: this.#message(exports) };
    });
  }

  fork(matcher: Address): Address {
    return this.#call(({ matcher_fork }) => matcher_fork(matcher));
  }

  free(matcher: Address): void {
    if (!this.#isBroken) this.#call(({ matcher_free }) => matcher_free(matcher));
  }

  /**
   * Which tokens may follow, a bit each; valid until the next call.
   * @throws TurboQuantError invalid_argument — the grammar became too large to go on
   */
  mask(matcher: Address, numWords: number): Uint32Array {
    const words = this.#call((exports) => {
      const at = exports.matcher_mask(matcher);
      return at === 0 ? this.#message(exports) : new Uint32Array(exports.memory.buffer, at, numWords);
    });
    if (typeof words === "string") throw tooMuch(words);
    return words;
  }

  /** @throws TurboQuantError invalid_argument — the token must not follow */
  advance(matcher: Address, token: number): void {
    const problem = this.#call((exports) =>
      exports.matcher_advance(matcher, token) < 0 ? this.#message(exports) : null,
    );
    if (problem !== null) throw tooMuch(problem);
  }

  /** Whether nothing but the end may follow. */
  isOver(matcher: Address): boolean {
    return this.#call(({ matcher_end }) => matcher_end(matcher)) === 2;
  }
}

function tooMuch(message: string): TurboQuantError {
  const why = message.split("\n")[0]!.slice(0, 200);
  return new TurboQuantError(
    "invalid_argument",
    `structured output: the grammar could not be followed any further (${why}); simplify the schema or the grammar`,
  );
}
