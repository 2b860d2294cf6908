/** @file Renders conversations with a checkpoint's Jinja chat template. */
import { TurboQuantError } from "../errors.ts";
import { isJsonObject } from "../formats/json-file.ts";

/** A message as templates see it; field names are those of Transformers and OpenAI. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: string | null | readonly Readonly<Record<string, unknown>>[];
  /** The assistant's reasoning, for models that keep it apart from the answer. */
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCall[];
  readonly tool_call_id?: string;
  readonly name?: string;
}

export interface ToolCall {
  readonly id?: string;
  readonly type?: "function";
  readonly function: {
    readonly name: string;
    /** The arguments as an object or as JSON text. */
    readonly arguments: Readonly<Record<string, unknown>> | string;
  };
}

export interface ChatTemplateOptions {
  /** Whether to end with the header of the assistant's turn. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Tools the model may call, as JSON schema objects. */
  readonly tools?: readonly object[];
  /** Further variables that the template knows, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

type Compiled = import("@huggingface/jinja").Template;

export class ChatTemplate {
  /** Template texts by name: `default` always, `tool_use` sometimes. */
  readonly sources: ReadonlyMap<string, string>;
  readonly #variables: Readonly<Record<string, string>>;
  readonly #name: string;
  readonly #compiled = new Map<string, Compiled>();

  private constructor(sources: ReadonlyMap<string, string>, variables: Readonly<Record<string, string>>, name: string) {
    this.sources = sources;
    this.#variables = variables;
    this.#name = name;
  }

  /**
   * value: the template's text, or a list of {name, template}, as in tokenizer_config.json · variables: bos_token and the like
   * returns: null when there is no template
   */
  static from(value: unknown, variables: Readonly<Record<string, string>>, name: string): ChatTemplate | null {
    if (value === undefined || value === null) return null;
    if (typeof value === "string") return new ChatTemplate(new Map([["default", value]]), variables, name);
    const sources = new Map<string, string>();
    for (const entry of Array.isArray(value) ? value : [undefined]) {
      if (!isJsonObject(entry) || typeof entry["name"] !== "string" || typeof entry["template"] !== "string") {
        throw new TurboQuantError(
          "invalid_file",
          `${name}/tokenizer_config.json: chat_template: expected a string or a list of {name, template}; download it again`,
        );
      }
      sources.set(entry["name"], entry["template"]);
    }
    const [first] = sources;
    if (!first) return null;
    if (!sources.has("default")) sources.set("default", first[1]);
    return new ChatTemplate(sources, variables, name);
  }

  /** @throws TurboQuantError invalid_argument — the messages are malformed or refused; unsupported — the template cannot be parsed */
  async render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Promise<string> {
    checkMessages(messages);
    const tools = options.tools && options.tools.length > 0 ? options.tools : null;
    const template = await this.#compile(tools && this.sources.has("tool_use") ? "tool_use" : "default");
    try {
      return template.render({
        ...this.#variables,
        ...options.variables,
        messages,
        tools,
        documents: null,
        add_generation_prompt: options.addGenerationPrompt ?? false,
      });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new TurboQuantError(
        "invalid_argument",
        `chat: the template of ${this.#name} does not accept these messages (${why}); check roles, their order and contents`,
        {},
        { cause },
      );
    }
  }

  async #compile(which: string): Promise<Compiled> {
    let compiled = this.#compiled.get(which);
    if (compiled) return compiled;
    const { Template } = await importJinja();
    try {
      compiled = new Template(this.sources.get(which)!);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new TurboQuantError(
        "unsupported",
        `chat: the template of ${this.#name} cannot be compiled (${why}); pass a plain prompt instead`,
        {},
        { cause },
      );
    }
    this.#compiled.set(which, compiled);
    return compiled;
  }
}

function checkMessages(messages: readonly ChatMessage[]): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new TurboQuantError(
      "invalid_argument",
      "chat: expected at least one message {role, content}, got none; add one",
    );
  }
  for (const [index, message] of messages.entries()) {
    if (!isJsonObject(message) || typeof message["role"] !== "string") {
      throw new TurboQuantError(
        "invalid_argument",
        `chat: message ${index}: expected {role, content}, got ${JSON.stringify(message)?.slice(0, 80)}; correct it`,
        {
          index,
        },
      );
    }
  }
}

async function importJinja(): Promise<typeof import("@huggingface/jinja")> {
  try {
    return await import("@huggingface/jinja");
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      "chat: the package @huggingface/jinja is missing; run: npm install @huggingface/jinja",
      {},
      { cause },
    );
  }
}
