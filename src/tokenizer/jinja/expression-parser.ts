/** @file Parses the expressions of Jinja templates, by the grammar of Jinja2; methods in the order of falling precedence. */
import type { CallArguments, Expression } from "./syntax.ts";
import type { TokenStream } from "./token-stream.ts";
import { Float } from "./values.ts";

const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">="]);
/** Words that end an expression where the argument of a test could stand. */
const NO_ARGUMENT = new Set(["else", "or", "and", "is"]);

export class ExpressionParser {
  readonly #stream: TokenStream;
  /** Names that were read since the last macro began. */
  names = new Set<string>();

  constructor(stream: TokenStream) {
    this.#stream = stream;
  }

  /** One expression, or several with commas, which are a tuple. */
  tuple(allowsCondition = true): Expression {
    const one = () => (allowsCondition ? this.expression() : this.or());
    const first = one();
    if (!this.#stream.is("operator", ",")) return first;
    const items = [first];
    while (this.#stream.skip("operator", ",")) {
      if (this.#stream.is("close") || this.#stream.is("operator", ")") || this.#stream.is("name", "in")) break;
      items.push(one());
    }
    return { kind: "tuple", items };
  }

  expression(): Expression {
    return this.#stream.nested(() => {
      let value = this.or();
      while (this.#stream.skip("name", "if")) {
        const test = this.or();
        const otherwise = this.#stream.skip("name", "else") ? this.expression() : null;
        value = { kind: "condition", test, value, otherwise };
      }
      return value;
    });
  }

  or(): Expression {
    let left = this.#and();
    while (this.#stream.skip("name", "or")) left = { kind: "or", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#stream.skip("name", "and")) left = { kind: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    if (this.#stream.skip("name", "not")) {
      return this.#stream.nested(() => ({ kind: "unary", operator: "not", value: this.#not() }));
    }
    return this.#comparison();
  }

  #comparison(): Expression {
    const first = this.#sum();
    const rest: (readonly [string, Expression])[] = [];
    for (;;) {
      const { type, value } = this.#stream.token;
      if (type === "operator" && COMPARISONS.has(value)) {
        this.#stream.advance();
        rest.push([value, this.#sum()]);
      } else if (this.#stream.skip("name", "in")) rest.push(["in", this.#sum()]);
      else if (this.#stream.is("name", "not") && this.#stream.following?.value === "in") {
        this.#stream.advance(2);
        rest.push(["not in", this.#sum()]);
      } else return rest.length === 0 ? first : { kind: "compare", first, rest };
    }
  }

  #sum(): Expression {
    return this.#chain(["+", "-"], () => this.#concat());
  }

  #concat(): Expression {
    const parts = [this.#product()];
    while (this.#stream.skip("operator", "~")) parts.push(this.#product());
    return parts.length === 1 ? parts[0]! : { kind: "concat", parts };
  }

  #product(): Expression {
    return this.#chain(["*", "/", "//", "%"], () => this.#chain(["**"], () => this.#unary()));
  }

  #chain(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    while (this.#stream.token.type === "operator" && operators.includes(this.#stream.token.value)) {
      const operator = this.#stream.token.value;
      this.#stream.advance();
      left = { kind: "binary", operator, left, right: operand() };
    }
    return left;
  }

  /** Filters come after a sign: `-1 | abs` is 1. */
  #unary(takesFilters = true): Expression {
    return this.#stream.nested(() => {
      let value: Expression;
      if (this.#stream.skip("operator", "-")) value = { kind: "unary", operator: "-", value: this.#unary(false) };
      else if (this.#stream.skip("operator", "+")) value = { kind: "unary", operator: "+", value: this.#unary(false) };
      else value = this.#primary();
      value = this.#postfix(value);
      return takesFilters ? this.filters(value) : value;
    });
  }

  #primary(): Expression {
    const token = this.#stream.token;
    this.#stream.advance();
    switch (token.type) {
      case "name":
        this.names.add(token.value);
        return named(token.value);
      case "string": {
        let text = token.value;
        while (this.#stream.is("string")) {
          text += this.#stream.token.value;
          this.#stream.advance();
        }
        return { kind: "constant", value: text };
      }
      case "integer": {
        const value = Number(token.value);
        return { kind: "constant", value: Number.isSafeInteger(value) ? value : BigInt(token.value) };
      }
      case "float": {
        const value = Number(token.value);
        return { kind: "constant", value: Number.isInteger(value) ? new Float(value) : value };
      }
      default:
    }
    if (token.value === "(") {
      if (this.#stream.skip("operator", ")")) return { kind: "tuple", items: [] };
      const value = this.tuple();
      this.#stream.expect("operator", ")");
      return value;
    }
    if (token.value === "[") return { kind: "list", items: this.#items("]", () => this.expression()) };
    if (token.value === "{") {
      const entry = (): readonly [Expression, Expression] => {
        const key = this.expression();
        this.#stream.expect("operator", ":");
        return [key, this.expression()];
      };
      return { kind: "dict", entries: this.#items("}", entry) };
    }
    this.#stream.advance(-1);
    return this.#stream.fail(`unexpected ${token.value || token.type}`);
  }

  #items<T>(end: string, one: () => T): T[] {
    const items: T[] = [];
    while (!this.#stream.skip("operator", end)) {
      if (items.length > 0) {
        this.#stream.expect("operator", ",");
        if (this.#stream.skip("operator", end)) break;
      }
      items.push(one());
    }
    return items;
  }

  #postfix(value: Expression): Expression {
    for (;;) {
      if (this.#stream.skip("operator", ".")) value = this.#member(value);
      else if (this.#stream.skip("operator", "[")) value = this.#subscript(value);
      else if (this.#stream.is("operator", "(")) value = { kind: "call", callee: value, args: this.#arguments() };
      else return value;
    }
  }

  #member(object: Expression): Expression {
    const token = this.#stream.token;
    this.#stream.advance();
    if (token.type === "name") return { kind: "attribute", object, name: token.value };
    if (token.type === "integer") return { kind: "item", object, index: constant(Number(token.value)) };
    this.#stream.advance(-1);
    return this.#stream.fail("expected a name or a number after the dot");
  }

  #subscript(object: Expression): Expression {
    const parts: Expression[] = [];
    do {
      if (parts.length > 0 && this.#stream.is("operator", "]")) break;
      parts.push(this.#subscripted(object));
    } while (this.#stream.skip("operator", ","));
    this.#stream.expect("operator", "]");
    if (parts.length === 1) {
      const [part] = parts as [Expression];
      return part.kind === "slice" && part.object === object ? part : { kind: "item", object, index: part };
    }
    return { kind: "item", object, index: { kind: "tuple", items: parts } };
  }

  #subscripted(object: Expression): Expression {
    const bound = (): Expression | null =>
      this.#stream.is("operator", ":") || this.#stream.is("operator", "]") || this.#stream.is("operator", ",")
        ? null
        : this.expression();
    const start = bound();
    if (!this.#stream.skip("operator", ":")) return start ?? this.#stream.fail("expected an index");
    const stop = bound();
    const step = this.#stream.skip("operator", ":") ? bound() : null;
    return { kind: "slice", object, start, stop, step };
  }

  #arguments(): CallArguments {
    const positional: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    let rest: Expression | null = null;
    let restNamed: Expression | null = null;
    this.#stream.expect("operator", "(");
    this.#items(")", () => {
      if (this.#stream.skip("operator", "*")) rest = this.expression();
      else if (this.#stream.skip("operator", "**")) restNamed = this.expression();
      else if (
        this.#stream.is("name") &&
        this.#stream.following?.value === "=" &&
        this.#stream.following?.type === "operator"
      ) {
        const name = this.#stream.expect("name").value;
        this.#stream.advance();
        named.push([name, this.expression()]);
      } else {
        if (named.length > 0) this.#stream.fail("a positional argument after a named one");
        positional.push(this.expression());
      }
    });
    return { positional, named, rest, restNamed };
  }

  filters(value: Expression | null, startsInline = false): Expression {
    let result = value;
    for (;;) {
      if (this.#stream.skip("operator", "|") || (startsInline && result === null)) {
        const name = this.#dottedName();
        const args = this.#stream.is("operator", "(") ? this.#arguments() : NO_ARGUMENTS;
        result = { kind: "filter", value: result, name, args };
      } else if (result && value && this.#stream.skip("name", "is")) result = this.#test(result);
      else if (result && value && this.#stream.is("operator", "(")) {
        result = { kind: "call", callee: result, args: this.#arguments() };
      } else return result ?? this.#stream.fail("expected a filter");
    }
  }

  #dottedName(): string {
    let name = this.#stream.expect("name").value;
    while (this.#stream.skip("operator", ".")) name += `.${this.#stream.expect("name").value}`;
    return name;
  }

  #test(value: Expression): Expression {
    const negated = this.#stream.skip("name", "not");
    const name = this.#dottedName();
    let args = NO_ARGUMENTS;
    if (this.#stream.is("operator", "(")) args = this.#arguments();
    else if (this.#stream.is("name", "is")) this.#stream.fail("tests cannot follow each other");
    else {
      const { type, value: word } = this.#stream.token;
      const starts =
        type === "string" ||
        type === "integer" ||
        type === "float" ||
        (type === "name" && !NO_ARGUMENT.has(word) && !["if", "in", "not"].includes(word)) ||
        (type === "operator" && (word === "[" || word === "{"));
      if (starts) args = { ...NO_ARGUMENTS, positional: [this.#postfix(this.#primary())] };
    }
    return { kind: "test", value, name, args, negated };
  }
}

const NO_ARGUMENTS: CallArguments = { positional: [], named: [], rest: null, restNamed: null };
const constant = (value: unknown): Expression => ({ kind: "constant", value });

function named(name: string): Expression {
  if (name === "true" || name === "True") return constant(true);
  if (name === "false" || name === "False") return constant(false);
  if (name === "none" || name === "None") return constant(null);
  return { kind: "name", name };
}
