/** @file Runs a template's statements and computes its expressions. */
import { Budget } from "./budget.ts";
import { CLOSED_FILTERS, escapeMarkup, FILTER_NAMES, FILTERS, KEEP_MARKUP, MARKUP_FILTERS } from "./filters.ts";
import { GLOBALS, type LoopState, loopRecord } from "./globals.ts";
import { getAttribute, getItem } from "./methods.ts";
import { binary, compares, negative, slice } from "./operators.ts";
import { asPairs } from "./pairs.ts";
import { str } from "./python-text.ts";
import { apply, type Engine } from "./signature.ts";
import type { Block, CallArguments, Expression, Macro, Statement, Target } from "./syntax.ts";
import { fail, TemplateError } from "./template-error.ts";
import { TESTS } from "./tests.ts";
import {
  type Arguments,
  Callable,
  Computed,
  dictKey,
  equals,
  fromHost,
  isString,
  isTrue,
  iterate,
  Markup,
  Namespace,
  Tuple,
  typeName,
  Undefined,
  undefinedError,
  type Value,
} from "./values.ts";

/** Names of one block, and where to look for others. */
class Scope {
  readonly #names = new Map<string, Value>();
  readonly #parent: Scope | null;

  constructor(parent: Scope | null) {
    this.#parent = parent;
  }

  get(name: string): Value {
    for (let scope: Scope | null = this; scope; scope = scope.#parent) {
      const value = scope.#names.get(name);
      if (value !== undefined || scope.#names.has(name)) return value;
    }
    return undefined;
  }

  set(name: string, value: Value): void {
    this.#names.set(name, value);
  }
}

/** How a block ended. */
type Flow = "break" | "continue" | undefined;

export function render(template: Block, variables: Readonly<{ [name: string]: unknown }>): string {
  const interpreter = new Interpreter();
  return interpreter.render(template, variables);
}

class Interpreter implements Engine {
  readonly budget = new Budget();
  #out: string[] = [];
  #length = 0;

  render(template: Block, variables: Readonly<{ [name: string]: unknown }>): string {
    const scope = new Scope(null);
    for (const [name, definition] of Object.entries(GLOBALS)) {
      scope.set(name, new Callable(name, (args) => apply(`${name}()`, definition, [], args, this)));
    }
    for (const [name, value] of Object.entries(variables)) {
      if (value !== undefined) scope.set(name, fromHost(value, this.budget));
    }
    try {
      this.#run(template, new Scope(scope));
    } catch (cause) {
      // Values that lie in each other far deeper than any prompt's.
      if (cause instanceof RangeError) throw new TemplateError("limit", "its values are nested too deep");
      throw cause;
    }
    return this.#out.join("");
  }

  // Statements

  #write(text: string): void {
    this.#length += text.length;
    this.budget.text(this.#length);
    if (text !== "") this.#out.push(text);
  }

  /** The text that `run` writes. */
  #capture(run: () => void): string {
    const [out, length] = [this.#out, this.#length];
    this.#out = [];
    run();
    const text = this.#out.join("");
    this.#out = out;
    this.#length = length;
    return text;
  }

  #run(block: Block, scope: Scope): Flow {
    for (const statement of block) {
      const flow = this.#statement(statement, scope);
      if (flow) return flow;
    }
    return undefined;
  }

  #statement(statement: Statement, scope: Scope): Flow {
    this.budget.spend(1);
    switch (statement.kind) {
      case "text":
        this.#write(statement.text);
        return undefined;
      case "output":
        this.#write(str(this.#value(statement.value, scope), this.budget));
        return undefined;
      case "if": {
        const branch = statement.branches.find(([test]) => isTrue(this.#value(test, scope)));
        return this.#run(branch ? branch[1] : statement.otherwise, scope);
      }
      case "for":
        this.#for(statement, this.#value(statement.iterable, scope), scope, 0);
        return undefined;
      case "set":
        this.#assign(statement.target, this.#value(statement.value, scope), scope);
        return undefined;
      case "set-block": {
        const text = this.#capture(() => this.#run(statement.body, new Scope(scope)));
        this.#assign(statement.target, statement.filter ? this.#filtered(statement.filter, text, scope) : text, scope);
        return undefined;
      }
      case "macro":
        scope.set(statement.name, this.#macro(statement.name, statement, scope));
        return undefined;
      case "call": {
        const { call } = statement;
        if (call.kind !== "call") return fail("expected a call");
        const caller = this.#macro("caller", statement, scope);
        const args = this.#arguments(call.args, scope);
        const named = new Map([...args.named, ["caller", caller] as const]);
        this.#write(str(this.call(this.#value(call.callee, scope), { ...args, named }), this.budget));
        return undefined;
      }
      case "filter": {
        const text = this.#capture(() => this.#run(statement.body, new Scope(scope)));
        this.#write(str(this.#filtered(statement.filter, text, scope), this.budget));
        return undefined;
      }
      case "with": {
        const inner = new Scope(scope);
        for (const [target, value] of statement.bindings) this.#assign(target, this.#value(value, scope), inner);
        return this.#run(statement.body, inner);
      }
      case "block":
        return this.#run(statement.body, scope);
      default:
        return statement.kind;
    }
  }

  #for(statement: Statement & { kind: "for" }, iterable: Value, scope: Scope, depth0: number): void {
    const { target, filter, body, otherwise, isRecursive } = statement;
    let items = iterate(iterable, this.budget);
    if (filter) {
      items = items.filter((item) => {
        const inner = new Scope(scope);
        this.#assign(target, item, inner);
        return isTrue(this.#value(filter, inner));
      });
    }
    if (items.length === 0) {
      this.#run(otherwise, new Scope(scope));
      return;
    }
    const state: LoopState = { index0: 0, changed: null };
    const recurse = isRecursive
      ? (inner: Value): Value =>
          this.budget.nested(() => this.#capture(() => this.#for(statement, inner, scope, depth0 + 1)))
      : undefined;
    const same = (a: readonly Value[], b: readonly Value[]) => equals([...a], [...b], this.budget);
    const loop = loopRecord(items, state, depth0, (what) => new Undefined(what), recurse, same);
    for (const item of items) {
      this.budget.spend(1);
      const inner = new Scope(scope);
      inner.set("loop", loop);
      this.#assign(target, item, inner);
      if (this.#run(body, inner) === "break") break;
      state.index0++;
    }
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === "name") scope.set(target.name, value);
    else if (target.kind === "tuple") {
      const items = iterate(value, this.budget);
      const expected = target.targets.length;
      if (items.length < expected) fail(`not enough values to unpack (expected ${expected}, got ${items.length})`);
      if (items.length > expected) fail(`too many values to unpack (expected ${expected})`);
      for (const [index, inner] of target.targets.entries()) this.#assign(inner, items[index], scope);
    } else {
      const object = scope.get(target.object);
      if (!(object instanceof Namespace)) fail("cannot assign attribute on non-namespace object");
      (object as Namespace).attributes.set(target.name, value);
    }
  }

  #macro(name: string, { parameters, body, takes }: Macro, scope: Scope): Callable {
    const run = ({ positional, named }: Arguments): Value =>
      this.budget.nested(() => {
        const inner = new Scope(scope);
        const rest = new Map(named);
        for (const [index, parameter] of parameters.entries()) {
          let value: Value = new Undefined(`parameter '${parameter.name}' was not provided`);
          if (index < positional.length) value = positional[index];
          else if (rest.has(parameter.name)) value = rest.get(parameter.name);
          else if (parameter.fallback) value = this.#value(parameter.fallback, inner);
          if (index < positional.length && rest.has(parameter.name)) {
            fail(`macro '${name}' got multiple values for argument '${parameter.name}'`);
          }
          rest.delete(parameter.name);
          inner.set(parameter.name, value);
        }
        if (positional.length > parameters.length && !takes.includes("varargs")) {
          fail(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
        }
        const unknown = [...rest.keys()].find((key) =>
          key === "caller" ? !takes.includes(key) : !takes.includes("kwargs"),
        );
        if (unknown !== undefined) fail(`macro '${name}' takes no keyword argument '${unknown}'`);
        inner.set("varargs", new Tuple(positional.slice(parameters.length)));
        const caller = rest.get("caller") ?? new Undefined("No caller defined");
        if (takes.includes("caller")) rest.delete("caller");
        inner.set("caller", caller);
        inner.set("kwargs", rest);
        return this.#capture(() => this.#run(body, inner));
      });
    return new Callable(name, run, new Map([["name", name]]));
  }

  // Engine

  attribute(object: Value, name: string): Value {
    return getAttribute(object, name, this);
  }

  item(object: Value, index: Value): Value {
    return getItem(object, index, this);
  }

  call(callee: Value, args: Arguments): Value {
    if (callee instanceof Callable) return callee.call(args);
    if (callee instanceof Computed && callee.call) return callee.call(args);
    if (callee instanceof Undefined) return undefinedError(callee);
    return fail(`'${typeName(callee)}' object is not callable`);
  }

  filter(name: string, value: Value, args: Arguments): Value {
    const known = Object.hasOwn(FILTER_NAMES, name) ? FILTER_NAMES[name]! : name;
    if (!Object.hasOwn(FILTERS, known)) {
      const why = CLOSED_FILTERS.has(name) ? "is not supported" : "does not exist";
      throw new TemplateError("missing", `the filter ${name} ${why}`);
    }
    return apply(`filter ${name}`, FILTERS[known]!, [value], args, this);
  }

  test(name: string, value: Value, args: Arguments): boolean {
    if (!Object.hasOwn(TESTS, name)) throw new TemplateError("missing", `the test ${name} does not exist`);
    return isTrue(apply(`test ${name}`, TESTS[name]!, [value], args, this));
  }

  // Expressions

  #filtered(filter: Expression, text: Value, scope: Scope): Value {
    if (filter.kind !== "filter") return fail("expected a filter");
    const value = filter.value === null ? text : this.#filtered(filter.value, text, scope);
    return this.filter(filter.name, value, this.#arguments(filter.args, scope));
  }

  #sum(expression: Expression & { kind: "binary" }, scope: Scope): Value {
    const left = this.#operand(expression.left, scope);
    const right = this.#operand(expression.right, scope);
    const plain = (value: Value): Value => (value instanceof Markup ? value.text : value);
    if (expression.operator === "+" && (left instanceof Markup || right instanceof Markup)) {
      const safe = (value: Value): Value => (isString(value) ? escapeMarkup(value, this.budget) : plain(value));
      const sum = binary("+", safe(left), safe(right), this.budget);
      return isString(sum) ? new Markup(sum) : sum;
    }
    return binary(expression.operator, plain(left), plain(right), this.budget);
  }

  #operand(expression: Expression, scope: Scope): Value {
    if (expression.kind === "binary") return this.#sum(expression, scope);
    const value = this.#value(expression, scope);
    return isMarkup(expression) ? new Markup(String(value)) : value;
  }

  #arguments(args: CallArguments, scope: Scope): Arguments {
    const positional = args.positional.map((value) => this.#value(value, scope));
    const named = new Map(args.named.map(([name, value]) => [name, this.#value(value, scope)] as const));
    if (args.rest) positional.push(...iterate(this.#value(args.rest, scope), this.budget));
    if (args.restNamed) {
      for (const [name, value] of asPairs(this.#value(args.restNamed, scope), this.budget)) {
        if (!isString(name)) fail("keywords must be strings");
        named.set(name as string, value);
      }
    }
    return { positional, named };
  }

  #value(expression: Expression, scope: Scope): Value {
    this.budget.spend(1);
    switch (expression.kind) {
      case "constant":
        return expression.value;
      case "name":
        return scope.get(expression.name) ?? unknown(scope, expression.name);
      case "attribute":
        return getAttribute(this.#value(expression.object, scope), expression.name, this);
      case "item":
        return getItem(this.#value(expression.object, scope), this.#value(expression.index, scope), this);
      case "slice": {
        const bound = (part: Expression | null): Value => (part ? this.#value(part, scope) : null);
        const bounds = [bound(expression.start), bound(expression.stop), bound(expression.step)] as const;
        return slice(this.#value(expression.object, scope), bounds, this.budget);
      }
      case "call":
        return this.call(this.#value(expression.callee, scope), this.#arguments(expression.args, scope));
      case "filter": {
        const value = expression.value ? this.#value(expression.value, scope) : fail("a filter without a value");
        return this.filter(expression.name, value, this.#arguments(expression.args, scope));
      }
      case "test": {
        const value = this.#value(expression.value, scope);
        return this.test(expression.name, value, this.#arguments(expression.args, scope)) !== expression.negated;
      }
      case "unary": {
        const value = this.#value(expression.value, scope);
        return expression.operator === "not" ? !isTrue(value) : negative(value, expression.operator);
      }
      case "binary": {
        const value = this.#sum(expression, scope);
        return value instanceof Markup ? value.text : value;
      }
      case "concat": {
        const text = expression.parts.map((part) => str(this.#value(part, scope), this.budget)).join("");
        this.budget.text(text.length);
        return text;
      }
      case "compare": {
        let left = this.#value(expression.first, scope);
        for (const [operator, operand] of expression.rest) {
          const right = this.#value(operand, scope);
          if (!compares(operator, left, right, this.budget)) return false;
          left = right;
        }
        return true;
      }
      case "and": {
        const left = this.#value(expression.left, scope);
        return isTrue(left) ? this.#value(expression.right, scope) : left;
      }
      case "or": {
        const left = this.#value(expression.left, scope);
        return isTrue(left) ? left : this.#value(expression.right, scope);
      }
      case "condition": {
        if (isTrue(this.#value(expression.test, scope))) return this.#value(expression.value, scope);
        if (expression.otherwise) return this.#value(expression.otherwise, scope);
        return new Undefined("the inline if-expression evaluated to false and no else section was defined");
      }
      case "dict": {
        const dict = new Map<Value, Value>();
        for (const [key, value] of expression.entries) {
          dict.set(dictKey(this.#value(key, scope)), this.#value(value, scope));
        }
        return dict;
      }
      default: {
        const items = expression.items.map((item) => this.#value(item, scope));
        return expression.kind === "list" ? items : new Tuple(items);
      }
    }
  }
}

/** Whether a filter's text is safe, also after filters that keep it so. */
function isMarkup(expression: Expression | null): boolean {
  if (expression?.kind !== "filter") return false;
  return MARKUP_FILTERS.has(expression.name) || (KEEP_MARKUP.has(expression.name) && isMarkup(expression.value));
}

/** Null is a value; what no scope has is undefined. */
function unknown(scope: Scope, name: string): Value {
  return scope.get(name) === null ? null : new Undefined(`'${name}' is undefined`);
}
