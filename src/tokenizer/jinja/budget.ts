/** @file What a rendering may take: steps, characters and depth, so that a template that loops ends with one error. */
import { TemplateError } from "./template-error.ts";

/** About a second or two. Templates in use take some hundred steps a message. */
const MAX_STEPS = 10_000_000;
/** Characters of one string or of the whole output. */
const MAX_LENGTH = 1 << 24;
/** Elements of one list. */
const MAX_ELEMENTS = 1 << 22;
/** Calls within calls, and blocks within blocks: far below the host's stack. */
const MAX_DEPTH = 150;
/** As Jinja's sandbox has it. */
const MAX_RANGE = 100_000;

export class Budget {
  #steps = 0;
  #depth = 0;

  /** Work of a size: nodes evaluated, or elements gone through. */
  spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > MAX_STEPS) throw new TemplateError("limit", `it takes more than ${MAX_STEPS} steps`);
  }

  /** Work on a text of so many characters, which also may not be too long. */
  text(length: number): void {
    if (!(length <= MAX_LENGTH)) throw new TemplateError("limit", `it makes more than ${MAX_LENGTH} characters`);
    this.spend(length / 8);
  }

  /** Elements that are about to be made. */
  elements(count: number): void {
    if (!(count <= MAX_ELEMENTS)) throw new TemplateError("limit", `it makes more than ${MAX_ELEMENTS} elements`);
    this.spend(count);
  }

  range(count: number): void {
    if (count > MAX_RANGE) {
      throw new TemplateError("limit", `range of ${count} numbers, more than ${MAX_RANGE}`);
    }
  }

  nested<T>(run: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw new TemplateError("limit", `calls are nested more than ${MAX_DEPTH} deep`);
    try {
      return run();
    } finally {
      this.#depth--;
    }
  }
}
