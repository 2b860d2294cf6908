/** @file Converts text to token ids and back, by a checkpoint's tokenizer files. */
import { TurboQuantError } from "../errors.ts";
import { type FileSource, readText } from "../formats/file-source.ts";
import { type JsonObject, readJsonObject } from "../formats/json-file.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import { type ChatMessage, ChatTemplate, type ChatTemplateOptions } from "./chat-template.ts";
import { specialTokenTexts, tokenizerJsonFromMerges } from "./legacy-files.ts";
import { Pipeline } from "./pipeline/pipeline.ts";
import { TextStream } from "./text-stream.ts";

export interface EncodeOptions {
  /** Whether to add the tokens that belong around a text, such as a beginning-of-sequence token. Default true. */
  readonly addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Whether to leave markers such as `<|im_end|>` out of the text. Default false. */
  readonly skipSpecialTokens?: boolean;
}

/** Turns tokens into text one by one. */
export interface DecodeStream {
  /** The text that became certain with this token; empty while a character is incomplete. */
  push(id: number): string;
  /** The text that is still held back; an incomplete character becomes U+FFFD. */
  end(): string;
}

const ENCODE_OPTIONS: Readonly<Record<keyof EncodeOptions, true>> = { addSpecialTokens: true };
const DECODE_OPTIONS: Readonly<Record<keyof DecodeOptions, true>> = { skipSpecialTokens: true };

export class Tokenizer {
  /** Largest token id + 1; a model's embedding may have more rows. */
  readonly vocabSize: number;
  /** null when the checkpoint has none (base models). */
  readonly chatTemplate: ChatTemplate | null;
  readonly #pipeline: Pipeline;
  readonly #specialIds: ReadonlySet<number>;
  #longestToken: number | undefined;

  constructor(pipeline: Pipeline, chatTemplate: ChatTemplate | null) {
    this.#pipeline = pipeline;
    this.chatTemplate = chatTemplate;
    this.#specialIds = new Set(pipeline.addedTokens.filter(({ isSpecial }) => isSpecial).map(({ id }) => id));
    this.vocabSize = pipeline.vocabulary.size;
  }

  /** The most UTF-16 units of a text that one token can stand for. */
  get longestToken(): number {
    return (this.#longestToken ??= Math.max(1, this.#pipeline.vocabulary.longest));
  }

  /** Special tokens written out in the text become their ids. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    refuseUnknownOptions("tokenizer: encode", options, ENCODE_OPTIONS);
    const ids = this.#pipeline.encode(text, options.addSpecialTokens ?? true);
    if (ids === null) {
      throw new TurboQuantError(
        "invalid_argument",
        "tokenizer: expected text that the vocabulary covers, got characters it lacks and has no unknown token for; remove them",
      );
    }
    return ids;
  }

  /** Ids outside the vocabulary (padding rows of the embedding) become empty text. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    refuseUnknownOptions("tokenizer: decode", options, DECODE_OPTIONS);
    const skip = options.skipSpecialTokens ?? false;
    const known = Array.from(ids).filter(
      (id) => this.#pipeline.vocabulary.token(id) !== undefined && !(skip && this.#specialIds.has(id)),
    );
    if (known.length === 0) return "";
    // Cleaning up spaces before punctuation would change code, and text that was streamed already.
    return this.#pipeline.decode(known);
  }

  /** The id of the token with exactly this text in the vocabulary. */
  tokenId(text: string): number | undefined {
    return this.#pipeline.id(text);
  }

  /** The bytes that a token is inside of a text, where it may be part of a character; none for ids outside the vocabulary. */
  tokenBytes(id: number): Uint8Array {
    return this.#pipeline.bytes(id) ?? new Uint8Array(0);
  }

  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /** Special tokens are left out of the text by default. */
  createStream(options: DecodeOptions = {}): DecodeStream {
    refuseUnknownOptions("tokenizer: createStream", options, DECODE_OPTIONS);
    const skipSpecialTokens = options.skipSpecialTokens ?? true;
    return new TextStream((ids) => this.decode(ids, { skipSpecialTokens }));
  }

  /**
   * The prompt text of a conversation, with special tokens written out. Encode it with `addSpecialTokens: false`.
   * @throws TurboQuantError unsupported — no chat template; invalid_argument — the template refuses the messages
   */
  async applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Promise<string> {
    if (!this.chatTemplate) {
      throw new TurboQuantError(
        "unsupported",
        "chat: this checkpoint has no chat template (a base model); pass a plain prompt, or add chat_template.jinja to it",
      );
    }
    return await this.chatTemplate.render(messages, options);
  }
}

/**
 * Loads `tokenizer.json`, or else `vocab.json` and `merges.txt`, and the
 * chat template in `chat_template.jinja` or `tokenizer_config.json`.
 *
 * @throws TurboQuantError invalid_file — absent or unusable; unsupported — an unknown kind of tokenizer
 */
export async function loadTokenizer(source: FileSource): Promise<Tokenizer> {
  const config = (await source.has("tokenizer_config.json"))
    ? await readJsonObject(source, "tokenizer_config.json")
    : {};
  const { file, json } = await readTokenizerJson(source, config);
  const pipeline = new Pipeline(json, `${source.name}/${file}`);
  const chatTemplate = ChatTemplate.from(
    await readTemplates(source, config),
    await readSpecialTokens(source, config),
    source.name,
  );
  return new Tokenizer(pipeline, chatTemplate);
}

/** What ChatTemplate.from takes: chat_template.jinja before the config's, and the one for tools that lies beside it. */
async function readTemplates(source: FileSource, config: JsonObject): Promise<unknown> {
  const own = config["chat_template"];
  if (!(await source.has("chat_template.jinja"))) {
    if (own !== undefined || !(await source.has("chat_template.json"))) return own;
    return (await readJsonObject(source, "chat_template.json"))["chat_template"];
  }
  const templates = [{ name: "default", template: await readText(source, "chat_template.jinja") }];
  const file = "additional_chat_templates/tool_use.jinja";
  if (await source.has(file)) templates.push({ name: "tool_use", template: await readText(source, file) });
  return templates;
}

/** special_tokens_map.json comes before a config without added_tokens_decoder, as Transformers has it, and fills in what others leave out. */
async function readSpecialTokens(source: FileSource, config: JsonObject): Promise<Record<string, string>> {
  const file = "special_tokens_map.json";
  const map = (await source.has(file)) ? await readJsonObject(source, file) : {};
  if (config["added_tokens_decoder"] === undefined) return { ...specialTokenTexts(config), ...specialTokenTexts(map) };
  return specialTokenTexts({ ...map, ...config });
}

async function readTokenizerJson(source: FileSource, config: JsonObject): Promise<{ file: string; json: JsonObject }> {
  if (await source.has("tokenizer.json")) {
    return { file: "tokenizer.json", json: await readJsonObject(source, "tokenizer.json") };
  }
  if ((await source.has("vocab.json")) && (await source.has("merges.txt"))) {
    const vocab = await readJsonObject(source, "vocab.json");
    const merges = await readText(source, "merges.txt");
    return { file: "vocab.json", json: tokenizerJsonFromMerges(vocab, merges, config, source.name) };
  }
  if (await source.has("tokenizer.model")) {
    throw new TurboQuantError(
      "unsupported",
      `${source.name}: expected tokenizer.json, got only tokenizer.model (SentencePiece); save the tokenizer with a recent Transformers to get tokenizer.json`,
    );
  }
  throw new TurboQuantError(
    "invalid_file",
    `${source.name}: expected tokenizer.json, or vocab.json and merges.txt, got neither; download the missing files`,
  );
}
