/** @file Jinja templates as Transformers runs them: Jinja2's language in its immutable sandbox, within a budget of steps, text and depth. */

export { render } from "./interpreter.ts";
export { parse } from "./parser.ts";
export { jsonText } from "./python-text.ts";
export type { Block } from "./syntax.ts";
export { TemplateError } from "./template-error.ts";
export { Float } from "./values.ts";
