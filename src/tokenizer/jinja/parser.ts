/** @file Parses the expressions and statements of Jinja templates, by the grammar of Jinja2 with loop controls and `generation` blocks. */
import { type Token, tokenize } from "./lexer.ts";
import type { Block, CallArguments, Expression, Macro, Parameter, Statement, Target } from "./syntax.ts";
import { TemplateError } from "./template-error.ts";
import { Float } from "./values.ts";

/** Far below the host's stack. */
const MAX_DEPTH = 150;

/** @throws TemplateError syntax — it is no template; missing — a statement that is not here */
export function parse(template: string): Block {
  return new Parser(tokenize(template)).template();
}

const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">="]);
/** Words that end an expression where the argument of a test could stand. */
const NO_ARGUMENT = new Set(["else", "or", "and", "is"]);

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;
  #loops = 0;
  /** Names that were read since the last macro began. */
  #names = new Set<string>();

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  template(): Block {
    const { block } = this.#block([]);
    return block;
  }

  // Tokens

  get #token(): Token {
    return this.#tokens[this.#next]!;
  }

  #is(type: Token["type"], value?: string): boolean {
    return this.#token.type === type && (value === undefined || this.#token.value === value);
  }

  #skip(type: Token["type"], value?: string): boolean {
    if (!this.#is(type, value)) return false;
    this.#next++;
    return true;
  }

  #expect(type: Token["type"], value?: string): Token {
    const token = this.#token;
    if (!this.#skip(type, value)) this.#fail(`expected ${value ?? type}, got ${token.value || token.type}`);
    return token;
  }

  #fail(why: string): never {
    throw new TemplateError("syntax", `line ${this.#token.line}: ${why}`);
  }

  #nested<T>(run: () => T): T {
    if (++this.#depth > MAX_DEPTH) this.#fail(`nested more than ${MAX_DEPTH} deep`);
    const result = run();
    this.#depth--;
    return result;
  }

  // Statements

  /** Statements up to a tag that begins with one of `ends`, whose name is read. */
  #block(ends: readonly string[]): { block: Statement[]; end: string } {
    return this.#nested(() => {
      const block: Statement[] = [];
      for (;;) {
        const token = this.#token;
        if (token.type === "end") {
          if (ends.length > 0) this.#fail(`expected {% ${ends.join(" %} or {% ")} %}, got the end`);
          return { block, end: "" };
        }
        this.#next++;
        if (token.type === "text") block.push({ kind: "text", text: token.value });
        else if (token.value === "{{") {
          block.push({ kind: "output", value: this.#tuple() });
          this.#expect("close", "}}");
        } else {
          const name = this.#expect("name").value;
          if (ends.includes(name)) return { block, end: name };
          block.push(this.#statement(name));
        }
      }
    });
  }

  #body(end: string): Block {
    this.#close();
    const { block } = this.#block([end]);
    this.#close();
    return block;
  }

  #close(): void {
    this.#expect("close", "%}");
  }

  #statement(name: string): Statement {
    switch (name) {
      case "if":
        return this.#if();
      case "for":
        return this.#for();
      case "set":
        return this.#set();
      case "macro": {
        const macro = this.#expect("name").value;
        return { kind: "macro", name: macro, ...this.#macro(this.#parameters(), "endmacro") };
      }
      case "call": {
        const parameters = this.#is("operator", "(") ? this.#parameters() : [];
        const call = this.#expression();
        if (call.kind !== "call") this.#fail("expected a call");
        return { kind: "call", call, ...this.#macro(parameters, "endcall") };
      }
      case "filter": {
        const filter = this.#filters(null, true);
        return { kind: "filter", filter, body: this.#body("endfilter") };
      }
      case "with": {
        const bindings: (readonly [Target, Expression])[] = [];
        while (!this.#is("close")) {
          if (bindings.length > 0) this.#expect("operator", ",");
          const target = this.#target();
          this.#expect("operator", "=");
          bindings.push([target, this.#expression()]);
        }
        return { kind: "with", bindings, body: this.#body("endwith") };
      }
      // Marks what the assistant said; the text is the same.
      case "generation":
        return { kind: "block", body: this.#body("endgeneration") };
      case "block": {
        this.#expect("name");
        this.#close();
        const { block } = this.#block(["endblock"]);
        this.#skip("name");
        this.#close();
        return { kind: "block", body: block };
      }
      case "break":
      case "continue":
        if (this.#loops === 0) this.#fail(`${name} outside of a loop`);
        this.#close();
        return { kind: name };
      case "include":
      case "import":
      case "from":
      case "extends":
      case "autoescape":
        throw new TemplateError("missing", `line ${this.#token.line}: the statement ${name} is not supported`);
      default:
        return this.#fail(`unknown statement ${name}`);
    }
  }

  /** A macro takes further arguments only if it reads them. */
  #macro(parameters: readonly Parameter[], end: string): Macro {
    const [loops, names] = [this.#loops, this.#names];
    this.#loops = 0;
    this.#names = new Set();
    const body = this.#body(end);
    const macro = { parameters, body, takes: ["varargs", "kwargs", "caller"].filter((name) => this.#names.has(name)) };
    for (const name of this.#names) names.add(name);
    this.#loops = loops;
    this.#names = names;
    return macro;
  }

  #if(): Statement {
    const branches: (readonly [Expression, Block])[] = [];
    let otherwise: Block = [];
    for (let name = "if"; name !== "endif"; ) {
      if (name === "else") {
        this.#close();
        ({ block: otherwise, end: name } = this.#block(["endif"]));
      } else {
        const test = this.#tuple(false);
        this.#close();
        const { block, end } = this.#block(["elif", "else", "endif"]);
        branches.push([test, block]);
        name = end;
      }
    }
    this.#close();
    return { kind: "if", branches, otherwise };
  }

  #for(): Statement {
    const target = this.#targets("in");
    this.#expect("name", "in");
    const iterable = this.#tuple(false);
    const filter = this.#skip("name", "if") ? this.#expression() : null;
    const isRecursive = this.#skip("name", "recursive");
    this.#close();
    this.#loops++;
    const { block: body, end } = this.#block(["endfor", "else"]);
    this.#loops--;
    let otherwise: Block = [];
    if (end === "else") {
      this.#close();
      ({ block: otherwise } = this.#block(["endfor"]));
    }
    this.#close();
    return { kind: "for", target, iterable, filter, body, otherwise, isRecursive };
  }

  #set(): Statement {
    const target = this.#targets("=");
    if (this.#skip("operator", "=")) {
      const value = this.#tuple();
      this.#close();
      return { kind: "set", target, value };
    }
    const filter = this.#is("operator", "|") ? this.#filters(null) : null;
    return { kind: "set-block", target, filter, body: this.#body("endset") };
  }

  #target(): Target {
    if (this.#skip("operator", "(")) {
      const inner = this.#targets(")");
      this.#expect("operator", ")");
      return inner;
    }
    const name = this.#expect("name").value;
    if (/^(?:true|false|none|True|False|None)$/.test(name)) this.#fail(`cannot assign to ${name}`);
    if (this.#skip("operator", ".")) return { kind: "member", object: name, name: this.#expect("name").value };
    return { kind: "name", name };
  }

  #targets(end: string): Target {
    const targets = [this.#target()];
    let isTuple = false;
    while (this.#skip("operator", ",")) {
      isTuple = true;
      if (this.#token.value === end) break;
      targets.push(this.#target());
    }
    return isTuple ? { kind: "tuple", targets } : targets[0]!;
  }

  #parameters(): Parameter[] {
    const parameters: Parameter[] = [];
    this.#expect("operator", "(");
    while (!this.#skip("operator", ")")) {
      if (parameters.length > 0) this.#expect("operator", ",");
      const name = this.#expect("name").value;
      const fallback = this.#skip("operator", "=") ? this.#expression() : null;
      if (!fallback && parameters.at(-1)?.fallback) this.#fail(`parameter ${name} needs a default value`);
      parameters.push({ name, fallback });
    }
    return parameters;
  }

  // Expressions, by falling precedence

  /** One expression, or several with commas, which are a tuple. */
  #tuple(allowsCondition = true): Expression {
    const one = () => (allowsCondition ? this.#expression() : this.#or());
    const first = one();
    if (!this.#is("operator", ",")) return first;
    const items = [first];
    while (this.#skip("operator", ",")) {
      if (this.#is("close") || this.#is("operator", ")") || this.#is("name", "in")) break;
      items.push(one());
    }
    return { kind: "tuple", items };
  }

  #expression(): Expression {
    return this.#nested(() => {
      let value = this.#or();
      while (this.#skip("name", "if")) {
        const test = this.#or();
        const otherwise = this.#skip("name", "else") ? this.#expression() : null;
        value = { kind: "condition", test, value, otherwise };
      }
      return value;
    });
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#skip("name", "or")) left = { kind: "or", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#skip("name", "and")) left = { kind: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    if (this.#skip("name", "not")) {
      return this.#nested(() => ({ kind: "unary", operator: "not", value: this.#not() }));
    }
    return this.#comparison();
  }

  #comparison(): Expression {
    const first = this.#sum();
    const rest: (readonly [string, Expression])[] = [];
    for (;;) {
      const { type, value } = this.#token;
      if (type === "operator" && COMPARISONS.has(value)) {
        this.#next++;
        rest.push([value, this.#sum()]);
      } else if (this.#skip("name", "in")) rest.push(["in", this.#sum()]);
      else if (this.#is("name", "not") && this.#tokens[this.#next + 1]?.value === "in") {
        this.#next += 2;
        rest.push(["not in", this.#sum()]);
      } else return rest.length === 0 ? first : { kind: "compare", first, rest };
    }
  }

  #sum(): Expression {
    return this.#chain(["+", "-"], () => this.#concat());
  }

  #concat(): Expression {
    const parts = [this.#product()];
    while (this.#skip("operator", "~")) parts.push(this.#product());
    return parts.length === 1 ? parts[0]! : { kind: "concat", parts };
  }

  #product(): Expression {
    return this.#chain(["*", "/", "//", "%"], () => this.#chain(["**"], () => this.#unary()));
  }

  #chain(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    while (this.#token.type === "operator" && operators.includes(this.#token.value)) {
      const operator = this.#token.value;
      this.#next++;
      left = { kind: "binary", operator, left, right: operand() };
    }
    return left;
  }

  /** Filters come after a sign: `-1 | abs` is 1. */
  #unary(takesFilters = true): Expression {
    return this.#nested(() => {
      let value: Expression;
      if (this.#skip("operator", "-")) value = { kind: "unary", operator: "-", value: this.#unary(false) };
      else if (this.#skip("operator", "+")) value = { kind: "unary", operator: "+", value: this.#unary(false) };
      else value = this.#primary();
      value = this.#postfix(value);
      return takesFilters ? this.#filters(value) : value;
    });
  }

  #primary(): Expression {
    const token = this.#token;
    this.#next++;
    switch (token.type) {
      case "name":
        this.#names.add(token.value);
        return named(token.value);
      case "string": {
        let text = token.value;
        while (this.#is("string")) {
          text += this.#token.value;
          this.#next++;
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
      if (this.#skip("operator", ")")) return { kind: "tuple", items: [] };
      const value = this.#tuple();
      this.#expect("operator", ")");
      return value;
    }
    if (token.value === "[") return { kind: "list", items: this.#items("]", () => this.#expression()) };
    if (token.value === "{") {
      const entry = (): readonly [Expression, Expression] => {
        const key = this.#expression();
        this.#expect("operator", ":");
        return [key, this.#expression()];
      };
      return { kind: "dict", entries: this.#items("}", entry) };
    }
    this.#next--;
    return this.#fail(`unexpected ${token.value || token.type}`);
  }

  #items<T>(end: string, one: () => T): T[] {
    const items: T[] = [];
    while (!this.#skip("operator", end)) {
      if (items.length > 0) {
        this.#expect("operator", ",");
        if (this.#skip("operator", end)) break;
      }
      items.push(one());
    }
    return items;
  }

  #postfix(value: Expression): Expression {
    for (;;) {
      if (this.#skip("operator", ".")) value = this.#member(value);
      else if (this.#skip("operator", "[")) value = this.#subscript(value);
      else if (this.#is("operator", "(")) value = { kind: "call", callee: value, args: this.#arguments() };
      else return value;
    }
  }

  #member(object: Expression): Expression {
    const token = this.#token;
    this.#next++;
    if (token.type === "name") return { kind: "attribute", object, name: token.value };
    if (token.type === "integer") return { kind: "item", object, index: constant(Number(token.value)) };
    this.#next--;
    return this.#fail("expected a name or a number after the dot");
  }

  #subscript(object: Expression): Expression {
    const parts: Expression[] = [];
    do {
      if (parts.length > 0 && this.#is("operator", "]")) break;
      parts.push(this.#subscripted(object));
    } while (this.#skip("operator", ","));
    this.#expect("operator", "]");
    if (parts.length === 1) {
      const [part] = parts as [Expression];
      return part.kind === "slice" && part.object === object ? part : { kind: "item", object, index: part };
    }
    return { kind: "item", object, index: { kind: "tuple", items: parts } };
  }

  #subscripted(object: Expression): Expression {
    const bound = (): Expression | null =>
      this.#is("operator", ":") || this.#is("operator", "]") || this.#is("operator", ",") ? null : this.#expression();
    const start = bound();
    if (!this.#skip("operator", ":")) return start ?? this.#fail("expected an index");
    const stop = bound();
    const step = this.#skip("operator", ":") ? bound() : null;
    return { kind: "slice", object, start, stop, step };
  }

  #arguments(): CallArguments {
    const positional: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    let rest: Expression | null = null;
    let restNamed: Expression | null = null;
    this.#expect("operator", "(");
    this.#items(")", () => {
      if (this.#skip("operator", "*")) rest = this.#expression();
      else if (this.#skip("operator", "**")) restNamed = this.#expression();
      else if (
        this.#is("name") &&
        this.#tokens[this.#next + 1]?.value === "=" &&
        this.#tokens[this.#next + 1]?.type === "operator"
      ) {
        const name = this.#expect("name").value;
        this.#next++;
        named.push([name, this.#expression()]);
      } else {
        if (named.length > 0) this.#fail("a positional argument after a named one");
        positional.push(this.#expression());
      }
    });
    return { positional, named, rest, restNamed };
  }

  #filters(value: Expression | null, startsInline = false): Expression {
    let result = value;
    for (;;) {
      if (this.#skip("operator", "|") || (startsInline && result === null)) {
        const name = this.#dottedName();
        const args = this.#is("operator", "(") ? this.#arguments() : NO_ARGUMENTS;
        result = { kind: "filter", value: result, name, args };
      } else if (result && value && this.#skip("name", "is")) result = this.#test(result);
      else if (result && value && this.#is("operator", "(")) {
        result = { kind: "call", callee: result, args: this.#arguments() };
      } else return result ?? this.#fail("expected a filter");
    }
  }

  #dottedName(): string {
    let name = this.#expect("name").value;
    while (this.#skip("operator", ".")) name += `.${this.#expect("name").value}`;
    return name;
  }

  #test(value: Expression): Expression {
    const negated = this.#skip("name", "not");
    const name = this.#dottedName();
    let args = NO_ARGUMENTS;
    if (this.#is("operator", "(")) args = this.#arguments();
    else if (this.#is("name", "is")) this.#fail("tests cannot follow each other");
    else {
      const { type, value: word } = this.#token;
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
