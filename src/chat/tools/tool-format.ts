/** @file What a family's way of writing tool calls consists of. */
import type { AnswerParser } from "../answer-parser.ts";

/** A function that a model may call, as OpenAI describes it. */
export interface ToolFunction {
  readonly name: string;
  readonly description?: string;
  /** A JSON Schema of an object; default: any. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** What a grammar for calls needs to know of a vocabulary. */
export interface MarkTokens {
  tokenId(text: string): number | undefined;
  isSpecial(id: number): boolean;
}

export interface CallGrammarOptions {
  readonly tools: readonly ToolFunction[];
  /** Whether more than one call may be made. */
  readonly isParallel: boolean;
  readonly tokens: MarkTokens;
}

export interface ToolFormat {
  readonly name: string;
  /** Whether a chat template makes a model write calls in this way. */
  matches(template: string): boolean;
  /** Texts that the parser looks for, which are special tokens of some vocabularies. */
  readonly marks: readonly string[];
  /** tools: those that may be called */
  createParser(tools: readonly ToolFunction[]): AnswerParser;
  /** Lark for an answer that is one call or several, and nothing else. */
  grammar(options: CallGrammarOptions): string;
  /** An id for a call, where templates ask for a certain form. */
  createId?(): string;
}
