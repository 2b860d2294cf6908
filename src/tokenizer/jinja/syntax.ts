/** @file What a template is made of. */

export type Expression =
  | { readonly kind: "constant"; readonly value: unknown }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "list" | "tuple"; readonly items: readonly Expression[] }
  | { readonly kind: "dict"; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly kind: "item"; readonly object: Expression; readonly index: Expression }
  | {
      readonly kind: "slice";
      readonly object: Expression;
      readonly start: Expression | null;
      readonly stop: Expression | null;
      readonly step: Expression | null;
    }
  | { readonly kind: "call"; readonly callee: Expression; readonly args: CallArguments }
  /** `value` is null in a filter block, whose text it becomes. */
  | { readonly kind: "filter"; readonly value: Expression | null; readonly name: string; readonly args: CallArguments }
  | {
      readonly kind: "test";
      readonly value: Expression;
      readonly name: string;
      readonly args: CallArguments;
      readonly negated: boolean;
    }
  | { readonly kind: "unary"; readonly operator: "-" | "+" | "not"; readonly value: Expression }
  | { readonly kind: "binary"; readonly operator: string; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "concat"; readonly parts: readonly Expression[] }
  | { readonly kind: "compare"; readonly first: Expression; readonly rest: readonly (readonly [string, Expression])[] }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: "condition";
      readonly test: Expression;
      readonly value: Expression;
      readonly otherwise: Expression | null;
    };

export interface CallArguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  /** `*list` */
  readonly rest: Expression | null;
  /** `**dict` */
  readonly restNamed: Expression | null;
}

/** Where a value is kept: a name, names in order, or a namespace's attribute. */
export type Target =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "tuple"; readonly targets: readonly Target[] }
  | { readonly kind: "member"; readonly object: string; readonly name: string };

export interface Parameter {
  readonly name: string;
  readonly fallback: Expression | null;
}

export interface Macro {
  readonly parameters: readonly Parameter[];
  readonly body: Block;
  /** Which of `varargs`, `kwargs` and `caller` it reads. */
  readonly takes: readonly string[];
}

export type Block = readonly Statement[];

export type Statement =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "output"; readonly value: Expression }
  | { readonly kind: "if"; readonly branches: readonly (readonly [Expression, Block])[]; readonly otherwise: Block }
  | {
      readonly kind: "for";
      readonly target: Target;
      readonly iterable: Expression;
      readonly filter: Expression | null;
      readonly body: Block;
      readonly otherwise: Block;
      readonly isRecursive: boolean;
    }
  | { readonly kind: "set"; readonly target: Target; readonly value: Expression }
  | { readonly kind: "set-block"; readonly target: Target; readonly filter: Expression | null; readonly body: Block }
  | ({ readonly kind: "macro"; readonly name: string } & Macro)
  | ({ readonly kind: "call"; readonly call: Expression } & Macro)
  | { readonly kind: "filter"; readonly filter: Expression; readonly body: Block }
  | { readonly kind: "with"; readonly bindings: readonly (readonly [Target, Expression])[]; readonly body: Block }
  | { readonly kind: "block"; readonly body: Block }
  | { readonly kind: "break" | "continue" };
