/** @file A tokenizer as tokenizer.json describes it: tokens found, text normalized, cut and encoded, and back. */
import type { JsonObject } from "../../formats/json-file.ts";
import { type AddedToken, readAddedTokens, TokenFinder, withOwnIds } from "./added-tokens.ts";
import { Bpe } from "./bpe.ts";
import { Component } from "./component.ts";
import { type Decoder, makeDecoder } from "./decoders.ts";
import type { Model } from "./model.ts";
import { makeNormalizer, type Normalizer } from "./normalizers.ts";
import { type Around, readAround } from "./post-processor.ts";
import { makePreTokenizer, type PreTokenizer } from "./pre-tokenizers.ts";
import { makeTokenBytes } from "./token-bytes.ts";
import { Unigram } from "./unigram.ts";
import type { Vocabulary } from "./vocabulary.ts";
import { WordLevel, WordPiece } from "./word-models.ts";

export class Pipeline {
  readonly vocabulary: Vocabulary;
  readonly addedTokens: readonly AddedToken[];
  readonly #normalizer: Normalizer | null;
  readonly #preTokenizer: PreTokenizer | null;
  readonly #model: Model;
  readonly #decoder: Decoder | null;
  readonly #bytesOf: (token: string) => Uint8Array;
  readonly #around: Around;
  readonly #inText: TokenFinder;
  readonly #inNormalized: TokenFinder;
  /** Added tokens that were normalized, which are decoded as what they were found as. */
  readonly #written = new Map<number, string>();
  readonly #idsOfAdded: ReadonlyMap<string, number>;

  /**
   * Truncation and padding, which a tokenizer.json may also have, are for batches of training and do not apply to prompts.
   * where: the file, for messages
   * @throws TurboQuantError unsupported — a component that is not here, with its name; invalid_file — malformed ones
   */
  constructor(json: JsonObject, where: string) {
    this.#normalizer = makeNormalizer(json["normalizer"], `${where}: normalizer`);
    this.#preTokenizer = makePreTokenizer(json["pre_tokenizer"], `${where}: pre_tokenizer`);
    this.#model = makeModel(json["model"], `${where}: model`);
    this.#decoder = makeDecoder(json["decoder"], `${where}: decoder`);
    this.#bytesOf = makeTokenBytes(json["decoder"], this.#decoder);
    this.#around = readAround(json["post_processor"], `${where}: post_processor`);
    this.vocabulary = this.#model.vocabulary;
    this.addedTokens = withOwnIds(readAddedTokens(json["added_tokens"], `${where}: added_tokens`), this.vocabulary);
    for (const { content, id, isNormalized } of this.addedTokens) {
      if (isNormalized && this.#normalizer) this.#written.set(id, this.#normalizer(content));
    }
    this.#idsOfAdded = new Map(this.addedTokens.map(({ content, id }) => [content, id]));
    const normalized = this.addedTokens.filter((token) => token.isNormalized);
    this.#inText = new TokenFinder(
      this.addedTokens.filter((token) => !token.isNormalized),
      null,
    );
    this.#inNormalized = new TokenFinder(normalized, this.#normalizer);
  }

  /** null: the text has characters that the vocabulary lacks, and it has no token for those. */
  encode(text: string, addsSpecialTokens: boolean): number[] | null {
    const ids: number[] = addsSpecialTokens ? [...this.#around.before] : [];
    for (const { token, start, end } of this.#inText.sections(text)) {
      if (token) ids.push(token.id);
      else if (!this.#encodeText(text.slice(start, end), start === 0, ids)) return null;
    }
    if (addsSpecialTokens) ids.push(...this.#around.after);
    return ids;
  }

  #encodeText(text: string, isFirst: boolean, ids: number[]): boolean {
    const normalized = this.#normalizer ? this.#normalizer(text) : text;
    for (const { token, start, end } of this.#inNormalized.sections(normalized)) {
      if (token) {
        ids.push(token.id);
        continue;
      }
      const piece = { text: normalized.slice(start, end), isFirst: isFirst && start === 0 };
      for (const { text: part } of this.#preTokenizer ? this.#preTokenizer(piece) : [piece]) {
        if (part === "") continue;
        const encoded = this.#model.encode(part);
        if (encoded === null) return false;
        for (const id of encoded) ids.push(id);
      }
    }
    return true;
  }

  /** ids: of tokens that there are */
  decode(ids: readonly number[]): string {
    const tokens = ids.map((id) => this.#written.get(id) ?? this.vocabulary.token(id)!);
    return this.#decoder ? this.#decoder(tokens).join("") : tokens.join(" ");
  }

  /** The bytes of a token inside of a text; null for an id that there is not. */
  bytes(id: number): Uint8Array | null {
    const token = this.#written.get(id) ?? this.vocabulary.token(id);
    return token === undefined ? null : this.#bytesOf(token);
  }

  id(token: string): number | undefined {
    return this.#idsOfAdded.get(token) ?? this.vocabulary.id(token);
  }
}

function makeModel(json: unknown, where: string): Model {
  const component = new Component(json, where);
  switch (component.type || guessedType(component)) {
    case "BPE":
      return new Bpe(component);
    case "Unigram":
      return new Unigram(component);
    case "WordPiece":
      return new WordPiece(component);
    case "WordLevel":
      return new WordLevel(component);
    default:
      throw component.unknownType();
  }
}

/** Files of before types were written. */
function guessedType(component: Component): string {
  if (component.get("merges") !== undefined) return "BPE";
  if (component.get("unk_id") !== undefined) return "Unigram";
  return component.get("continuing_subword_prefix") === undefined ? "" : "WordPiece";
}
