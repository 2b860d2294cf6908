/** @file Renders conversations with a checkpoint's Jinja chat template. */
import { TurboQuantError } from "../errors.ts";
import { isJsonObject } from "../formats/json-file.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import { type Block, parse, render, TemplateError } from "./jinja/index.ts";
import { parsedArguments, writtenArguments } from "./tool-arguments.ts";

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
  /**
   * Further variables that the template knows, such as `enable_thinking` or `documents`. `messages`, `tools` and
   * `add_generation_prompt` have parameters of their own and are refused here.
   */
  readonly variables?: Readonly<Record<string, unknown>>;
}

const TEMPLATE_OPTIONS: Readonly<Record<keyof ChatTemplateOptions, true> & Record<string, true | string>> = {
  addGenerationPrompt: true,
  tools: true,
  variables: true,
  chatTemplateKwargs: "variables",
  enableThinking: "variables: { enable_thinking }",
};

/** What a template is given by parameters, so that two values cannot contradict each other. */
const OWN_PARAMETERS: Readonly<Record<string, string>> = {
  messages: "as the conversation",
  tools: "as tools",
  add_generation_prompt: "as addGenerationPrompt",
};

/** Of these a template may leave messages out on purpose, such as earlier results of tools. */
const USUAL_ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant", "tool"]);

export class ChatTemplate {
  /** Template texts by name: `default` always, `tool_use` sometimes. */
  readonly sources: ReadonlyMap<string, string>;
  readonly #variables: Readonly<Record<string, string>>;
  readonly #name: string;
  readonly #compiled = new Map<string, Block>();

  private constructor(sources: ReadonlyMap<string, string>, variables: Readonly<Record<string, string>>, name: string) {
    this.sources = sources;
    this.#variables = variables;
    this.#name = name;
  }

  /** All of its texts, for what is said of a model by how its template speaks. */
  get text(): string {
    return [...this.sources.values()].join("\n");
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

  /**
   * Arguments of tool calls that are JSON text reach the template as the object that it stands for, as templates expect them; a
   * template that joins them to text gets text.
   * @throws TurboQuantError invalid_argument — the messages are malformed or refused, or the template takes too many steps for them;
   *   unsupported — the template cannot be parsed, or asks for what is not here
   */
  async render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Promise<string> {
    checkMessages(messages);
    refuseUnknownOptions("chat template", options, TEMPLATE_OPTIONS);
    checkVariables(options.variables ?? {});
    const tools = options.tools && options.tools.length > 0 ? options.tools : null;
    const template = this.#compile(tools && this.sources.has("tool_use") ? "tool_use" : "default");
    const variables = {
      documents: null,
      ...this.#variables,
      ...options.variables,
      tools,
      add_generation_prompt: options.addGenerationPrompt ?? false,
    };
    const attempt = (conversation: readonly unknown[]): string => {
      const text = render(template, { ...variables, messages: conversation });
      this.#refuseLeftOut(messages, text);
      return text;
    };
    try {
      return attempt(parsedArguments(messages));
    } catch (cause) {
      const written = cause instanceof TemplateError && cause.kind === "value" ? writtenArguments(messages) : null;
      if (written) {
        try {
          return attempt(written);
        } catch {
          // The first fault is that of the form that most templates want.
        }
      }
      throw this.#renderingError(cause);
    }
  }

  /** Templates pass over roles that they do not know, and nobody would see that a message was left out. */
  #refuseLeftOut(messages: readonly ChatMessage[], text: string): void {
    for (const [index, { role, content }] of messages.entries()) {
      if (USUAL_ROLES.has(role) || typeof content !== "string" || text.includes(content.trim())) continue;
      throw new TurboQuantError(
        "invalid_argument",
        `chat: message ${index}: the template of ${this.#name} leaves out what the role ${JSON.stringify(role)} says; use system, user, assistant or tool`,
        { index, role },
      );
    }
  }

  #renderingError(cause: unknown): TurboQuantError {
    if (!(cause instanceof TemplateError)) throw cause;
    const why = cause.message.slice(0, 500);
    const template = `chat: the template of ${this.#name}`;
    switch (cause.kind) {
      case "raised":
        return new TurboQuantError(
          "invalid_argument",
          `${template} does not accept these messages (${why}); check roles, their order and contents`,
          {},
          { cause },
        );
      case "limit":
        return new TurboQuantError(
          "invalid_argument",
          `${template} does more for these messages than a prompt may take (${why}); send fewer or shorter messages, or correct the template`,
          {},
          { cause },
        );
      case "missing":
        return new TurboQuantError("unsupported", `${template}: ${why}; pass a plain prompt instead`, {}, { cause });
      default:
        return new TurboQuantError(
          "invalid_argument",
          `${template} cannot be applied to these messages (${why}); check roles, their order and contents, and the variables that it expects`,
          {},
          { cause },
        );
    }
  }

  #compile(which: string): Block {
    let compiled = this.#compiled.get(which);
    if (compiled) return compiled;
    try {
      compiled = parse(this.sources.get(which)!);
    } catch (cause) {
      if (!(cause instanceof TemplateError)) throw cause;
      throw new TurboQuantError(
        "unsupported",
        `chat: the template of ${this.#name} cannot be compiled (${cause.message}); pass a plain prompt instead`,
        {},
        { cause },
      );
    }
    this.#compiled.set(which, compiled);
    return compiled;
  }
}

function checkVariables(variables: Readonly<Record<string, unknown>>): void {
  for (const [name, where] of Object.entries(OWN_PARAMETERS)) {
    if (Object.hasOwn(variables, name)) {
      throw new TurboQuantError(
        "invalid_argument",
        `chat: template variable ${name}: expected it ${where}, got it among the variables; pass it there`,
        { name },
      );
    }
  }
}

function checkMessages(messages: readonly ChatMessage[]): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new TurboQuantError(
      "invalid_argument",
      typeof messages === "string"
        ? 'chat: expected a list of messages {role, content}, got a text; pass [{ role: "user", content: text }], or the text to generate'
        : "chat: expected at least one message {role, content}, got none; add one",
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
