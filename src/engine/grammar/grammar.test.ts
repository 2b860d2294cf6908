/** @file Answers bound to schemas and grammars, over a backend whose tokens are a hash: whatever is valid, a grammar makes it so. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { PERSON } from "../../../test/support/asked-schemas.ts";
import { loadFake } from "../../../test/support/fake-ops.ts";
import { repoRoot } from "../../../test/support/shared.ts";
import { generateBatch } from "../batch.ts";
import { collect, type GenerateOptions } from "../generation.ts";
import type { LLM } from "../llm.ts";
import { larkFromGbnf } from "./gbnf.ts";
import type { Grammar, JsonSchema } from "./grammar.ts";
import { Grammars } from "./grammars.ts";
import { ReasoningConstraint } from "./reasoning-constraint.ts";

let llm: LLM;
beforeAll(async () => {
  ({ llm } = await loadFake({}));
});
afterAll(async () => {
  await llm.dispose();
});

const SAMPLED = { temperature: 1, maxNewTokens: 400 };

const answer = (options: GenerateOptions) => collect(llm.generate("Once", { ...SAMPLED, ...options }));

describe("schemas", () => {
  it.each<[string, JsonSchema, (value: unknown) => void]>([
    [
      "an object",
      PERSON,
      (value) => {
        const { name, age, tags } = value as { name: string; age: number; tags: string[] };
        expect([...name].length).toBeLessThanOrEqual(12);
        expect(age >= 0 && age <= 150 && Number.isInteger(age)).toBe(true);
        expect(tags.length <= 3 && tags.every((tag) => ["a", "b", "c"].includes(tag))).toBe(true);
        expect(Object.keys(value as object).sort()).toEqual(["age", "name", "tags"]);
      },
    ],
    ["a constant", { const: { deep: [1, null] } }, (value) => expect(value).toEqual({ deep: [1, null] })],
    ["a choice", { enum: [1, "two", null] }, (value) => expect([1, "two", null]).toContainEqual(value)],
    [
      "one that refers to itself",
      {
        $defs: {
          node: {
            type: "object",
            properties: { next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] } },
            required: ["next"],
            additionalProperties: false,
          },
        },
        $ref: "#/$defs/node",
      },
      (value) => expect(value).toHaveProperty("next"),
    ],
    [
      "what generators write besides",
      {
        $schema: "https://json-schema.org/draft/2020-12/schema",
        title: "T",
        type: "boolean",
        format: "colour",
        uniqueItems: false,
      },
      (value) => expect(typeof value).toBe("boolean"),
    ],
  ])("%s", async (_what, schema, check) => {
    for (const seed of [1, 2, 3]) {
      const { text, finishReason } = await answer({ schema, seed });
      // A text that goes on until its limit is not whole.
      if (finishReason === "length") continue;
      check(JSON.parse(text));
    }
    expect((await answer({ schema, seed: 1, maxNewTokens: 4000 })).finishReason).toBe("stop");
  });

  it.each<JsonSchema>([
    { allOf: [{}], items: [{ const: 1 }], additionalItems: false, minItems: 1, type: "array" },
    {
      $defs: { one: { minItems: 1 } },
      $ref: "#/$defs/one",
      type: "array",
      items: [{ const: 1 }],
      additionalItems: false,
    },
    { anyOf: [{}, { minItems: 1 }], type: "array", minItems: 1, items: [{ const: 1 }], additionalItems: false },
  ])("additionalItems holds behind other schemas: %j", async (schema) => {
    const { text } = await answer({ schema, seed: 1 });
    expect(JSON.parse(text)).toEqual([1]);
  });

  it("batches, several continuations, greedy ones and log-probabilities", async () => {
    const results = await generateBatch(llm, ["Once", "upon a time"], {
      ...SAMPLED,
      schema: PERSON,
      n: 3,
      logprobs: 2,
    });
    expect(new Set(results.map(({ text }) => text)).size).toBeGreaterThan(3);
    for (const { text } of results) expect(Object.keys(JSON.parse(text) as object)).toContain("age");
    const alone = await answer({ schema: PERSON, seed: 1 });
    expect(results[1]!.text).toBe(alone.text);
    const greedy = await answer({ schema: PERSON, temperature: 0 });
    expect(JSON.parse(greedy.text)).toHaveProperty("tags");
  });

  it("a mask takes little time", async () => {
    const started = performance.now();
    const constraint = await llm.grammars.constraint({ schema: PERSON });
    const logits = new Float32Array(llm.config.vocabSize);
    for (let i = 0; i < 200; i++) constraint.mask(logits.fill(0));
    constraint.release?.();
    // Microseconds each; a second would be thousands of times as long.
    expect(performance.now() - started).toBeLessThan(1000);
  });

  const deep = (levels: number): JsonSchema =>
    Array.from({ length: levels }).reduce<JsonSchema>((inner) => ({ type: "object", properties: { a: inner } }), {});
  it.each<[string, unknown, string, RegExp]>([
    ["false", false, "invalid_argument", /no JSON fits/],
    ["a text", "object", "invalid_argument", /expected a JSON Schema/],
    ["itself alone", { $ref: "#" }, "invalid_argument", /nothing fits it/],
    [
      "a circle of names",
      { $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" },
      "invalid_argument",
      /nothing fits it/,
    ],
    ["a reference to nothing", { $ref: "#/$defs/none" }, "invalid_argument", /\$defs/],
    ["a reference elsewhere", { $ref: "https://example.com/schema" }, "invalid_argument", /\$ref/],
    ["what contradicts itself", { type: "integer", minimum: 5, maximum: 3 }, "invalid_argument", /nothing fits it/],
    ["two types at once", { allOf: [{ type: "string" }, { type: "integer" }] }, "invalid_argument", /nothing fits it/],
    ["an empty choice", { enum: [] }, "invalid_argument", /nothing fits it/],
    ["what cannot be enforced", { not: { type: "string" } }, "unsupported", /not of JSON Schema cannot be enforced/],
    ["unique items", { type: "array", uniqueItems: true }, "unsupported", /uniqueItems/],
    ["a misspelt type", { type: "strin" }, "invalid_argument", /strin/],
    ["a broken pattern", { type: "string", pattern: "((" }, "invalid_argument", /unclosed/],
    ["a pattern that looks around", { type: "string", pattern: "^(?=a)b" }, "invalid_argument", /look-around/],
    ["three hundred levels", deep(300), "invalid_argument", /recursion/],
    ["a hundred thousand levels", deep(100_000), "invalid_argument", /cannot be written/],
    [
      "a megabyte",
      { enum: Array.from({ length: 50_000 }, (_, i) => `number ${i}`) },
      "invalid_argument",
      /at most 65536 characters/,
    ],
    [
      "a chain of references that the engine does not survive",
      {
        $defs: Object.fromEntries(
          Array.from({ length: 500 }, (_, i) => [
            `d${i}`,
            { type: "object", properties: { a: { $ref: `#/$defs/d${(i + 1) % 500}` } } },
          ]),
        ),
        $ref: "#/$defs/d0",
      },
      "invalid_argument",
      /too deeply/,
    ],
  ])("refused: %s", async (_what, schema, code, message) => {
    const started = performance.now();
    await expect(answer({ schema: schema as JsonSchema })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it("what the engine does not survive ends nobody else's answer", async () => {
    const chain = Object.fromEntries(
      Array.from({ length: 600 }, (_, i) => [`d${i}`, { properties: { a: { $ref: `#/$defs/d${i + 1}` } } }]),
    );
    const other = await llm.grammars.constraint({ schema: PERSON });
    await expect(answer({ schema: { $defs: { ...chain, d600: {} }, $ref: "#/$defs/d0" } })).rejects.toThrow();
    other.mask(new Float32Array(llm.config.vocabSize));
    other.release?.();
    // Nor is one refused for it that is compiled at the same time.
    const both = [{ $defs: { ...chain, d600: { const: 1 } }, $ref: "#/$defs/d0" }, { const: [1, 2] }];
    const [broken, whole] = await Promise.allSettled(both.map((schema) => llm.grammars.constraint({ schema })));
    expect(broken!.status).toBe("rejected");
    expect(whole).toMatchObject({ status: "fulfilled" });
  });

  it("what could not be started is started again", async () => {
    const start = WebAssembly.instantiate;
    const grammars = new Grammars(llm.tokenizer, llm.eosTokens);
    let calls = 0;
    // The first instance is for answers, the second one for trials.
    const failing = vi.spyOn(WebAssembly, "instantiate").mockImplementation((async (...args: [WebAssembly.Module]) => {
      if (++calls === 2) throw new RangeError("no memory");
      return start(...args);
    }) as typeof start);
    await expect(grammars.constraint({ choices: ["a"] })).rejects.toThrow("no memory");
    (await grammars.constraint({ choices: ["a"] })).release?.();
    failing.mockRestore();
  });

  it("several of schema, grammar and constraint", async () => {
    await expect(answer({ schema: true, grammar: { regex: "a" } })).rejects.toThrow(/got several/);
  });
});

describe("grammars", () => {
  it.each<[string, Grammar, RegExp]>([
    ["a regular expression", { regex: "[a-c]{3}-\\d{2}" }, /^[a-c]{3}-\d{2}$/],
    ["choices", { choices: ["yes", "no", 'may "be"'] }, /^(yes|no|may "be")$/],
    ["Lark", { grammar: 'start: word ("," word)~2\nword: /[a-z]/ | "é"' }, /^([a-z]|é)(,([a-z]|é)){2}$/u],
    ["GBNF", { grammar: 'root ::= item{3} # three\nitem ::= [a-c\\x41]\n  | "-" "\\u00e9"' }, /^([a-cA]|-é){3}$/u],
  ])("%s", async (_what, grammar, expected) => {
    for (const seed of [1, 2, 3]) expect((await answer({ grammar, seed })).text).toMatch(expected);
  });

  it("GBNF in Lark's syntax", () => {
    expect(larkFromGbnf('root ::= (a-b | "x\\n")* [^/"]+ .\nA-b ::= "]"\na-b::=A-b?')).toBe(
      'start: ( r1_a_b | "x\\n")* /[^\\/"]/+ /(?s:.)/\nr2_a_b: "]"\nr1_a_b: r2_a_b?',
    );
    for (const [text, message] of [
      ["root ::= 'a'", /line 1: unexpected "'a'"/],
      ["start ::= 'a'", /unexpected/],
      ['a ::= "x"', /a rule named root/],
      ['root ::= "\\UFFFFFFFF"', /up to \\U0010FFFF/],
    ] as const) {
      expect(() => larkFromGbnf(text)).toThrow(message);
    }
  });

  it.each<[string, Grammar, RegExp]>([
    ["an empty one", { grammar: "" }, /not empty/],
    ["one that never ends", { grammar: "start: start" }, /nothing fits it/],
    ["an unknown rule", { grammar: "start: foo" }, /unknown name/],
    ["no choices", { choices: [] }, /list of texts/],
    ["a broken expression", { regex: "(((" }, /unclosed/],
  ])("refused: %s", async (_what, grammar, message) => {
    await expect(answer({ grammar })).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });
});

describe("thoughts", () => {
  const [OPEN, CLOSE, WORD, YES, END] = [10, 11, 12, 13, 14];
  const only = (token: number) => ({
    mask: (logits: Float32Array) => void logits.fill(Number.NEGATIVE_INFINITY, 0).fill(0, token, token + 1),
    advance: () => {},
    fork: () => only(token),
  });
  const allowed = (constraint: ReasoningConstraint): number[] => {
    const logits = new Float32Array(16);
    constraint.mask(logits);
    return [...logits.keys()].filter((token) => logits[token]! > Number.NEGATIVE_INFINITY);
  };

  it("come before what the answer is bound to, and end when their tokens are used up", () => {
    const constraint = new ReasoningConstraint({
      open: OPEN,
      close: CLOSE,
      isInside: false,
      budget: 2,
      answer: only(YES),
      ends: [END, 99],
    });
    expect(allowed(constraint)).toEqual([OPEN, YES]);
    const without = constraint.fork();
    without.advance(YES);
    expect(allowed(without)).toEqual([YES]);
    constraint.advance(OPEN);
    expect(allowed(constraint)).toHaveLength(15);
    expect(allowed(constraint)).not.toContain(END);
    constraint.advance(WORD);
    constraint.advance(WORD);
    expect(allowed(constraint)).toEqual([CLOSE]);
    constraint.advance(CLOSE);
    expect(allowed(constraint)).toEqual([YES]);
  });

  it("none at all", () => {
    const constraint = new ReasoningConstraint({ open: OPEN, close: CLOSE, isInside: false, budget: 0 });
    expect(allowed(constraint)).not.toContain(OPEN);
    const inside = new ReasoningConstraint({ open: OPEN, close: CLOSE, isInside: true, budget: 0 });
    expect(allowed(inside)).toEqual([CLOSE]);
  });
});

it("the engine in git was made from the sources in git", () => {
  const read = (file: string) => readFileSync(join(repoRoot, "grammar", file));
  const hash = createHash("sha256");
  for (const file of ["Cargo.toml", "Cargo.lock", "src/lib.rs"]) hash.update(file).update(read(file));
  const module = new WebAssembly.Module(read("llguidance.wasm"));
  const [section] = WebAssembly.Module.customSections(module, "sources");
  expect(new TextDecoder().decode(section)).toBe(hash.digest("hex").slice(0, 16));
});
