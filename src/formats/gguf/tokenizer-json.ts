/** @file The tokenizer.json and tokenizer_config.json that a GGUF file's metadata stands for. */
import { TurboQuantError } from "../../errors.ts";
import type { JsonObject } from "../json-file.ts";
import { type MergeList, mergesOfScores, mergesOfTexts } from "../merge-list.ts";
import { PRE_TOKENIZERS, preTokenizerJson } from "../pre-tokenizers.ts";
import { TokenList } from "../token-list.ts";
import { controlTokens, endsByName } from "./control-tokens.ts";
import type { Metadata } from "./metadata.ts";

/** `tokenizer.ggml.token_type` (llama.h). */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

/** What SentencePiece calls these tokens by default, for files that do not say. */
const SENTENCE_PIECE_IDS = { unknown: 0, bos: 1, eos: 2 };

/** Tokens that end a generation besides the one that ends a sequence: of a turn and a message, and of a coder's padding, repository and file. */
const ENDS = ["eot", "eom", "fim_pad", "fim_rep", "fim_sep"];

const GEMMA4 = "gemma4";

/** Files may name a template that llama.cpp has, instead of having it. */
const NAMED_TEMPLATES: Readonly<Record<string, string>> = {
  chatml:
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
};

export interface TokenizerFiles {
  /**
   * Made whenever it is asked for, which takes longer than the others together.
   * @throws TurboQuantError as `tokenizerFiles`
   */
  readonly tokenizer: JsonObject;
  readonly config: JsonObject;
  readonly generation: JsonObject;
}

/** @throws TurboQuantError unsupported — a kind of tokenizer that we do not run; invalid_file — lists that contradict each other */
export function tokenizerFiles(metadata: Metadata, where: string): TokenizerFiles {
  const tokens = new TokenList(metadata.texts("tokenizer.ggml.tokens"));
  const types = metadata.has("tokenizer.ggml.token_type")
    ? Array.from(metadata.numbers("tokenizer.ggml.token_type", tokens.length))
    : Array.from({ length: tokens.length }, () => NORMAL);
  for (const id of controlTokens(tokens)) if (types[id] === NORMAL) types[id] = CONTROL;
  const kind = metadata.string("tokenizer.ggml.model");
  const special = specialTokens(metadata, tokens, types, kind === "llama" ? SENTENCE_PIECE_IDS : {});
  const textOf = (id: number | undefined): string | null => (id === undefined ? null : tokens.text(id));
  const template = chatTemplate(metadata);
  return {
    get tokenizer() {
      const parts = partsOf(metadata, { kind, tokens, types, where });
      // Files of Gemma 4 have said that it has none.
      const mayAddBos = kind === GEMMA4 || metadata.boolean("tokenizer.ggml.add_bos_token", parts.addsBos);
      const addsBos = mayAddBos && special.bos !== undefined;
      const addsEos = metadata.boolean("tokenizer.ggml.add_eos_token", false) && special.eos !== undefined;
      return {
        version: "1.0",
        added_tokens: addedTokens(tokens, types, isPhi3(metadata, tokens)),
        normalizer: parts.normalizer,
        pre_tokenizer: parts.preTokenizer,
        post_processor: around(tokens, addsBos ? special.bos : undefined, addsEos ? special.eos : undefined),
        decoder: parts.decoder,
        model: {
          type: "BPE",
          vocab: tokens,
          repeated_tokens: tokens.repeated.map((id) => ({ id, content: tokens.text(id) })),
          ...parts.model,
          unk_token: textOf(special.unknown),
        },
      };
    },
    config: {
      bos_token: textOf(special.bos),
      eos_token: textOf(special.eos),
      unk_token: textOf(special.unknown),
      pad_token: textOf(special.padding),
      ...(template !== undefined && { chat_template: template }),
    },
    generation: {
      eos_token_id: special.ends,
      ...(special.bos !== undefined && { bos_token_id: special.bos }),
      ...(special.padding !== undefined && { pad_token_id: special.padding }),
    },
  };
}

/** The template, and the one for tools where the file has it. */
function chatTemplate(metadata: Metadata): JsonObject[] | undefined {
  const key = "tokenizer.chat_template";
  const template = metadata.string(key, "");
  const forTools = metadata.string(`${key}.tool_use`, "");
  const main = template === "" ? [] : [{ name: "default", template: namedTemplate(template) }];
  const templates = [...main, ...(forTools === "" ? [] : [{ name: "tool_use", template: forTools }])];
  return templates.length === 0 ? undefined : templates;
}

/** The text that a name stands for. A name that we do not know is an error of the chat, as the model runs without it. */
function namedTemplate(template: string): string {
  if (!/^[\w.-]+$/.test(template)) return template;
  const named = Object.hasOwn(NAMED_TEMPLATES, template) ? NAMED_TEMPLATES[template] : undefined;
  const known = Object.keys(NAMED_TEMPLATES).join(", ");
  const what = `tokenizer.chat_template: expected a template or the name of one (${known}), got the name ${template.slice(0, 40)}`;
  return named ?? `{{ raise_exception('${what}') }}`;
}

interface Parts {
  readonly normalizer: JsonObject | null;
  readonly preTokenizer: JsonObject | null;
  readonly decoder: JsonObject;
  readonly model: JsonObject;
  readonly addsBos: boolean;
}

interface Vocabulary {
  /** `tokenizer.ggml.model`. */
  readonly kind: string;
  readonly tokens: TokenList;
  readonly types: readonly number[];
  readonly where: string;
}

function partsOf(metadata: Metadata, { kind, tokens, types, where }: Vocabulary): Parts {
  if (kind === "llama") return sentencePiece(metadata, tokens, types);
  if (kind === GEMMA4) return mergesOfPieces(metadata, tokens);
  if (kind === "gpt2") return byteLevel(metadata, tokens, where);
  throw new TurboQuantError(
    "unsupported",
    `${where}: tokenizer.ggml.model: expected gpt2, llama or ${GEMMA4}, got ${kind.slice(0, 40)}; choose another model`,
    { kind },
  );
}

/** Pieces of text as SentencePiece has them, and merges as byte-level vocabularies have them. */
const mergesOfPieces = (metadata: Metadata, tokens: TokenList): Parts => ({
  normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
  preTokenizer: null,
  decoder: {
    type: "Sequence",
    decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }, { type: "Fuse" }],
  },
  model: { merges: mergesOf(metadata, tokens), byte_fallback: true, fuse_unk: true },
  addsBos: true,
});

function byteLevel(metadata: Metadata, tokens: TokenList, where: string): Parts {
  const name = metadata.string("tokenizer.ggml.pre", "default");
  const pre = Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined;
  if (!pre) {
    throw new TurboQuantError(
      "unsupported",
      `${where}: tokenizer.ggml.pre: expected one of ${Object.keys(PRE_TOKENIZERS).join(", ")}, got ${name.slice(0, 40)}; text would be cut wrongly without its pattern: load the model from its Hugging Face repository instead`,
      { pre: name },
    );
  }
  return {
    normalizer: pre.normalizer,
    preTokenizer: preTokenizerJson(pre),
    decoder: { type: "ByteLevel" },
    model: { merges: mergesOf(metadata, tokens), ignore_merges: pre.ignoresMerges },
    addsBos: pre.addsBos,
  };
}

function mergesOf(metadata: Metadata, tokens: TokenList): MergeList {
  const key = "tokenizer.ggml.merges";
  return mergesOfTexts(tokens, metadata.texts(key), (merge) =>
    metadata.invalid(key, `two tokens in each merge, not ${JSON.stringify(merge.slice(0, 40))}`),
  );
}

function sentencePiece(metadata: Metadata, tokens: TokenList, types: readonly number[]): Parts {
  // Without scores all are equal.
  const scores = metadata.has("tokenizer.ggml.scores")
    ? metadata.numbers("tokenizer.ggml.scores", tokens.length)
    : new Float32Array(tokens.length);
  // Tokens that users defined are found in the text, and where it spells them with other characters than theirs, by merging.
  const { merges, ranks } = mergesOfScores(tokens, scores, (id) => types[id] === NORMAL || types[id] === USER_DEFINED);
  const prefixes = metadata.boolean("tokenizer.ggml.add_space_prefix", true);
  const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };
  return {
    normalizer: {
      type: "Sequence",
      normalizers: prefixes ? [{ type: "Prepend", prepend: "▁" }, replace] : [replace],
    },
    preTokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(prefixes ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      merges,
      merge_ranks: ranks,
      byte_fallback: true,
      fuse_unk: true,
    },
    addsBos: true,
  };
}

/** Tokens that are found in a text before it is cut: control tokens, the unknown one, and those that users defined. */
function addedTokens(tokens: TokenList, types: readonly number[], takeSpaces: boolean): JsonObject[] {
  return types.flatMap((type, id) => {
    const special = type === CONTROL || type === UNKNOWN;
    if (!special && type !== USER_DEFINED) return [];
    const content = tokens.text(id);
    const rstrip = takeSpaces && !LEAVE_SPACES.has(content);
    return [{ id, content, single_word: false, lstrip: false, rstrip, normalized: false, special }];
  });
}

/** Tokens of Phi 3 that leave the spaces behind them; its others take them, which no key of a file says. */
const LEAVE_SPACES = new Set(["<unk>", "<s>", "<|endoftext|>"]);

const isPhi3 = (metadata: Metadata, tokens: TokenList): boolean =>
  /phi-?3/i.test(String(metadata.raw("general.name") ?? "")) || tokens.find("<|placeholder1|>") >= 0;

function around(tokens: TokenList, bos: number | undefined, eos: number | undefined): JsonObject | null {
  const ids = [bos, eos].filter((id) => id !== undefined);
  if (ids.length === 0) return null;
  const token = (id: number | undefined): JsonObject[] =>
    id === undefined ? [] : [{ SpecialToken: { id: tokens.text(id), type_id: 0 } }];
  const text = (id: string): JsonObject[] => [...token(bos), { Sequence: { id, type_id: 0 } }, ...token(eos)];
  return {
    type: "TemplateProcessing",
    single: text("A"),
    pair: [...text("A"), ...text("B")],
    special_tokens: Object.fromEntries(
      ids.map((id) => [tokens.text(id), { id: tokens.text(id), ids: [id], tokens: [tokens.text(id)] }]),
    ),
  };
}

/** defaults: ids of tokens that the file does not name, where the vocabulary has them */
function specialTokens(
  metadata: Metadata,
  tokens: TokenList,
  types: readonly number[],
  defaults: Partial<typeof SENTENCE_PIECE_IDS>,
) {
  const id = (name: string, fallback?: number): number | undefined => {
    const key = `tokenizer.ggml.${name}_token_id`;
    if (metadata.has(key)) return metadata.tokenId(key, tokens.length);
    return fallback !== undefined && fallback < tokens.length ? fallback : undefined;
  };
  const eos = id("eos", defaults.eos);
  // Ollama lists further ones.
  const listed = [metadata.raw("tokenizer.ggml.eos_token_ids") ?? []].flat();
  const further = listed.filter((end): end is number => isTokenOf(tokens, end));
  const named = [eos, ...ENDS.map((name) => id(name)), ...further].filter((end) => end !== undefined);
  // Padding is never computed with: an id of another vocabulary does no harm.
  const padding = metadata.raw("tokenizer.ggml.padding_token_id");
  return {
    bos: id("bos", defaults.bos),
    eos,
    unknown: id("unknown", defaults.unknown),
    padding: isTokenOf(tokens, padding) ? padding : undefined,
    ends: [...new Set([...named, ...endsByName(tokens, (token) => types[token] !== NORMAL)])],
  };
}

const isTokenOf = (tokens: TokenList, id: unknown): id is number =>
  typeof id === "number" && Number.isInteger(id) && id >= 0 && id < tokens.length;
