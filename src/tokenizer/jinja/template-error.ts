/** @file Why a template stopped. */

/**
 * - `syntax`: the text is no template
 * - `raised`: the template itself refused (`raise_exception`)
 * - `missing`: the template asks for a filter, test, method, global or statement that is not here
 * - `value`: an operation on values that it is not for, as in Python
 * - `limit`: more steps, text or depth than a template may take
 */
export type TemplateErrorKind = "syntax" | "raised" | "missing" | "value" | "limit";

export class TemplateError extends Error {
  override readonly name = "TemplateError";
  readonly kind: TemplateErrorKind;

  constructor(kind: TemplateErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** A fault of Python's kind: TypeError, ValueError and the like. */
export function fail(message: string): never {
  throw new TemplateError("value", message);
}
