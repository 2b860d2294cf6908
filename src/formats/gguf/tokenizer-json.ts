/** @file The tokenizer.json and tokenizer_config.json that a GGUF file's metadata stands for. */
import { TurboQuantError } from "../../errors.ts";
import type { JsonObject } from "../json-file.ts";
import { PRE_TOKENIZERS, preTokenizerJson } from "../pre-tokenizers.ts";
import { endsByName, isControl } from "./control-tokens.ts";
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
  readonly tokenizer: JsonObject;
  readonly config: JsonObject;
  readonly generation: JsonObject;
}

/** @throws TurboQuantError unsupported — a kind of tokenizer that we do not run; invalid_file — lists that contradict each other */
export function tokenizerFiles(metadata: Metadata, where: string): TokenizerFiles {
  const tokens = metadata.strings("tokenizer.ggml.tokens");
  const listed = metadata.has("tokenizer.ggml.token_type")
    ? metadata.numbers("tokenizer.ggml.token_type", tokens.length)
    : tokens.map(() => NORMAL);
  const types = listed.map((type, id) => (type === NORMAL && isControl(tokens[id]!) ? CONTROL : type));
  const kind = metadata.string("tokenizer.ggml.model");
  const parts = partsOf(metadata, { kind, tokens, types, where });
  const special = specialTokens(metadata, tokens, types, kind === "llama" ? SENTENCE_PIECE_IDS : {});
  // Files of Gemma 4 have said that it has none.
  const mayAddBos = kind === GEMMA4 || metadata.boolean("tokenizer.ggml.add_bos_token", parts.addsBos);
  const addsBos = mayAddBos && special.bos !== undefined;
  const addsEos = metadata.boolean("tokenizer.ggml.add_eos_token", false) && special.eos !== undefined;
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const textOf = (id: number | undefined): string | null => (id === undefined ? null : tokens[id]!);
  const template = chatTemplate(metadata);
  return {
    tokenizer: {
      version: "1.0",
      added_tokens: addedTokens(tokens, types, isPhi3(metadata, tokens)),
      normalizer: parts.normalizer,
      pre_tokenizer: parts.preTokenizer,
      post_processor: around(tokens, addsBos ? special.bos : undefined, addsEos ? special.eos : undefined),
      decoder: parts.decoder,
      model: {
        type: "BPE",
        vocab,
        repeated_tokens: repeated(tokens, vocab),
        ...parts.model,
        unk_token: textOf(special.unknown),
      },
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

/** Ids of tokens whose text a later token has as well: encoding gives the later one, decoding knows both. */
function repeated(tokens: readonly string[], vocab: Readonly<Record<string, number>>): JsonObject[] {
  return tokens.flatMap((content, id) => (vocab[content] === id ? [] : [{ id, content }]));
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
  readonly tokens: readonly string[];
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
const mergesOfPieces = (metadata: Metadata, tokens: readonly string[]): Parts => ({
  normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
  preTokenizer: null,
  decoder: {
    type: "Sequence",
    decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }, { type: "Fuse" }],
  },
  model: { merges: mergesOf(metadata, new Set(tokens)), byte_fallback: true, fuse_unk: true },
  addsBos: true,
});

function byteLevel(metadata: Metadata, tokens: readonly string[], where: string): Parts {
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
    model: { merges: mergesOf(metadata, new Set(tokens)), ignore_merges: pre.ignoresMerges },
    addsBos: pre.addsBos,
  };
}

/**
 * A merge is two tokens and the first space that neither begins with. Those of tokens that the vocabulary does not have, as files with
 * a shortened vocabulary have them, can never be made.
 */
function mergesOf(metadata: Metadata, vocabulary: ReadonlySet<string>): [string, string][] {
  const key = "tokenizer.ggml.merges";
  return metadata.strings(key).flatMap((merge): [string, string][] => {
    const at = merge.indexOf(" ", 1);
    if (at < 0 || at === merge.length - 1)
      throw metadata.invalid(key, `two tokens in each merge, not ${JSON.stringify(merge.slice(0, 40))}`);
    const [left, right] = [merge.slice(0, at), merge.slice(at + 1)];
    return [left, right, left + right].every((token) => vocabulary.has(token)) ? [[left, right]] : [];
  });
}

/**
 * SentencePiece's BPE has scores and no merges: two neighbours become the token that they spell, the one of highest score
 * first, of equal ones the leftmost. As a list of merges that is every way to spell a token with two others, by falling score.
 */
function sentencePiece(metadata: Metadata, tokens: readonly string[], types: readonly number[]): Parts {
  // Without scores all are equal.
  const scores = metadata.has("tokenizer.ggml.scores")
    ? metadata.numbers("tokenizer.ggml.scores", tokens.length)
    : tokens.map(() => 0);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const lengths = new Set(tokens.map(({ length }) => length).filter((length) => length > 0));
  const merges: { left: string; right: string; score: number; order: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    // Tokens that users defined are found in the text, and where it spells them with other characters than theirs, by merging.
    if (types[id] !== NORMAL && types[id] !== USER_DEFINED) continue;
    const ways: { left: string; right: string; a: number; b: number }[] = [];
    let at = 0;
    for (const character of token) {
      at += character.length;
      // Looking a part up takes as long as the part is, of a token of megabytes for each of its characters.
      if (!lengths.has(at) || !lengths.has(token.length - at)) continue;
      const [left, right] = [token.slice(0, at), token.slice(at)];
      const [a, b] = [ids.get(left), ids.get(right)];
      if (a !== undefined && b !== undefined) ways.push({ left, right, a, b });
    }
    ways.sort((x, y) => x.a - y.a || x.b - y.b);
    for (const { left, right } of ways) merges.push({ left, right, score: scores[id]!, order: merges.length });
  }
  merges.sort((x, y) => y.score - x.score || x.order - y.order);
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
      merges: merges.map(({ left, right }) => [left, right]),
      merge_ranks: ranksOf(merges),
      byte_fallback: true,
      fuse_unk: true,
    },
    addsBos: true,
  };
}

/** Places among the scores, from the highest on; equal scores share one. */
function ranksOf(merges: readonly { readonly score: number }[]): number[] {
  let rank = 0;
  return merges.map(({ score }, i) => (i > 0 && score !== merges[i - 1]!.score ? ++rank : rank));
}

/** Tokens that are found in a text before it is cut: control tokens, the unknown one, and those that users defined. */
function addedTokens(tokens: readonly string[], types: readonly number[], takeSpaces: boolean): JsonObject[] {
  return tokens.flatMap((content, id) => {
    const special = types[id] === CONTROL || types[id] === UNKNOWN;
    if (!special && types[id] !== USER_DEFINED) return [];
    const rstrip = takeSpaces && !LEAVE_SPACES.has(content);
    return [{ id, content, single_word: false, lstrip: false, rstrip, normalized: false, special }];
  });
}

/** Tokens of Phi 3 that leave the spaces behind them; its others take them, which no key of a file says. */
const LEAVE_SPACES = new Set(["<unk>", "<s>", "<|endoftext|>"]);

const isPhi3 = (metadata: Metadata, tokens: readonly string[]): boolean =>
  /phi-?3/i.test(String(metadata.raw("general.name") ?? "")) || tokens.includes("<|placeholder1|>");

function around(tokens: readonly string[], bos: number | undefined, eos: number | undefined): JsonObject | null {
  const ids = [bos, eos].filter((id) => id !== undefined);
  if (ids.length === 0) return null;
  const token = (id: number | undefined): JsonObject[] =>
    id === undefined ? [] : [{ SpecialToken: { id: tokens[id]!, type_id: 0 } }];
  const text = (id: string): JsonObject[] => [...token(bos), { Sequence: { id, type_id: 0 } }, ...token(eos)];
  return {
    type: "TemplateProcessing",
    single: text("A"),
    pair: [...text("A"), ...text("B")],
    special_tokens: Object.fromEntries(
      ids.map((id) => [tokens[id]!, { id: tokens[id]!, ids: [id], tokens: [tokens[id]!] }]),
    ),
  };
}

/** defaults: ids of tokens that the file does not name, where the vocabulary has them */
function specialTokens(
  metadata: Metadata,
  tokens: readonly string[],
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
  const further = listed.filter((end): end is number => typeof end === "number" && tokens[end] !== undefined);
  const named = [eos, ...ENDS.map((name) => id(name)), ...further].filter((end) => end !== undefined);
  // Padding is never computed with: an id of another vocabulary does no harm.
  const padding = metadata.raw("tokenizer.ggml.padding_token_id");
  return {
    bos: id("bos", defaults.bos),
    eos,
    unknown: id("unknown", defaults.unknown),
    padding:
      typeof padding === "number" && Number.isInteger(padding) && tokens[padding] !== undefined ? padding : undefined,
    ends: [...new Set([...named, ...endsByName(tokens, (token) => types[token] !== NORMAL)])],
  };
}
