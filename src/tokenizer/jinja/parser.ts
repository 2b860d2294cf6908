/** @file Parses the statements of Jinja templates, by the grammar of Jinja2 with loop controls and `generation` blocks. */
import { ExpressionParser } from "./expression-parser.ts";
import { tokenize } from "./lexer.ts";
import type { Block, Expression, Macro, Parameter, Statement, Target } from "./syntax.ts";
import { TemplateError } from "./template-error.ts";
import { TokenStream } from "./token-stream.ts";

/** @throws TemplateError syntax — it is no template; missing — a statement that is not here */
export function parse(template: string): Block {
  return new Parser(new TokenStream(tokenize(template))).template();
}

class Parser {
  readonly #stream: TokenStream;
  readonly #expressions: ExpressionParser;
  #loops = 0;

  constructor(stream: TokenStream) {
    this.#stream = stream;
    this.#expressions = new ExpressionParser(stream);
  }

  template(): Block {
    const { block } = this.#block([]);
    return block;
  }

  /** Statements up to a tag that begins with one of `ends`, whose name is read. */
  #block(ends: readonly string[]): { block: Statement[]; end: string } {
    return this.#stream.nested(() => {
      const block: Statement[] = [];
      for (;;) {
        const token = this.#stream.token;
        if (token.type === "end") {
          if (ends.length > 0) this.#stream.fail(`expected {% ${ends.join(" %} or {% ")} %}, got the end`);
          return { block, end: "" };
        }
        this.#stream.advance();
        if (token.type === "text") block.push({ kind: "text", text: token.value });
        else if (token.value === "{{") {
          block.push({ kind: "output", value: this.#expressions.tuple() });
          this.#stream.expect("close", "}}");
        } else {
          const name = this.#stream.expect("name").value;
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
    this.#stream.expect("close", "%}");
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
        const macro = this.#stream.expect("name").value;
        return { kind: "macro", name: macro, ...this.#macro(this.#parameters(), "endmacro") };
      }
      case "call": {
        const parameters = this.#stream.is("operator", "(") ? this.#parameters() : [];
        const call = this.#expressions.expression();
        if (call.kind !== "call") this.#stream.fail("expected a call");
        return { kind: "call", call, ...this.#macro(parameters, "endcall") };
      }
      case "filter": {
        const filter = this.#expressions.filters(null, true);
        return { kind: "filter", filter, body: this.#body("endfilter") };
      }
      case "with": {
        const bindings: (readonly [Target, Expression])[] = [];
        while (!this.#stream.is("close")) {
          if (bindings.length > 0) this.#stream.expect("operator", ",");
          const target = this.#target();
          this.#stream.expect("operator", "=");
          bindings.push([target, this.#expressions.expression()]);
        }
        return { kind: "with", bindings, body: this.#body("endwith") };
      }
      // Marks what the assistant said; the text is the same.
      case "generation":
        return { kind: "block", body: this.#body("endgeneration") };
      case "block": {
        this.#stream.expect("name");
        this.#close();
        const { block } = this.#block(["endblock"]);
        this.#stream.skip("name");
        this.#close();
        return { kind: "block", body: block };
      }
      case "break":
      case "continue":
        if (this.#loops === 0) this.#stream.fail(`${name} outside of a loop`);
        this.#close();
        return { kind: name };
      case "include":
      case "import":
      case "from":
      case "extends":
      case "autoescape":
        throw new TemplateError("missing", `line ${this.#stream.token.line}: the statement ${name} is not supported`);
      default:
        return this.#stream.fail(`unknown statement ${name}`);
    }
  }

  /** A macro takes further arguments only if it reads them. */
  #macro(parameters: readonly Parameter[], end: string): Macro {
    const [loops, names] = [this.#loops, this.#expressions.names];
    this.#loops = 0;
    this.#expressions.names = new Set();
    const body = this.#body(end);
    const macro = {
      parameters,
      body,
      takes: ["varargs", "kwargs", "caller"].filter((name) => this.#expressions.names.has(name)),
    };
    for (const name of this.#expressions.names) names.add(name);
    this.#loops = loops;
    this.#expressions.names = names;
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
        const test = this.#expressions.tuple(false);
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
    this.#stream.expect("name", "in");
    const iterable = this.#expressions.tuple(false);
    const filter = this.#stream.skip("name", "if") ? this.#expressions.expression() : null;
    const isRecursive = this.#stream.skip("name", "recursive");
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
    if (this.#stream.skip("operator", "=")) {
      const value = this.#expressions.tuple();
      this.#close();
      return { kind: "set", target, value };
    }
    const filter = this.#stream.is("operator", "|") ? this.#expressions.filters(null) : null;
    return { kind: "set-block", target, filter, body: this.#body("endset") };
  }

  #target(): Target {
    if (this.#stream.skip("operator", "(")) {
      const inner = this.#targets(")");
      this.#stream.expect("operator", ")");
      return inner;
    }
    const name = this.#stream.expect("name").value;
    if (/^(?:true|false|none|True|False|None)$/.test(name)) this.#stream.fail(`cannot assign to ${name}`);
    if (this.#stream.skip("operator", "."))
      return { kind: "member", object: name, name: this.#stream.expect("name").value };
    return { kind: "name", name };
  }

  #targets(end: string): Target {
    const targets = [this.#target()];
    let isTuple = false;
    while (this.#stream.skip("operator", ",")) {
      isTuple = true;
      if (this.#stream.token.value === end) break;
      targets.push(this.#target());
    }
    return isTuple ? { kind: "tuple", targets } : targets[0]!;
  }

  #parameters(): Parameter[] {
    const parameters: Parameter[] = [];
    this.#stream.expect("operator", "(");
    while (!this.#stream.skip("operator", ")")) {
      if (parameters.length > 0) this.#stream.expect("operator", ",");
      const name = this.#stream.expect("name").value;
      const fallback = this.#stream.skip("operator", "=") ? this.#expressions.expression() : null;
      if (!fallback && parameters.at(-1)?.fallback) this.#stream.fail(`parameter ${name} needs a default value`);
      parameters.push({ name, fallback });
    }
    return parameters;
  }
}
