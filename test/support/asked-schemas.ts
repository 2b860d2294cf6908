/** @file A schema and tools that clients ask for: bounded, so that a model whose tokens are random ends them too. */

export const PERSON = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 12 },
    age: { type: "integer", minimum: 0, maximum: 150 },
    tags: { type: "array", items: { enum: ["a", "b", "c"] }, maxItems: 3 },
  },
  required: ["name", "age", "tags"],
  additionalProperties: false,
};

export const WEATHER = {
  type: "function" as const,
  function: {
    name: "get_weather",
    description: "The weather of a city",
    parameters: {
      type: "object",
      properties: { city: { enum: ["Paris", "Rome"] }, days: { type: "integer", minimum: 1, maximum: 9 } },
      required: ["city", "days"],
      additionalProperties: false,
    },
  },
};

export const ADD = {
  type: "function" as const,
  function: {
    name: "add",
    parameters: {
      type: "object",
      properties: { a: { $ref: "#/$defs/digit" } },
      required: ["a"],
      additionalProperties: false,
      $defs: { digit: { enum: [1, 2] } },
    },
  },
};
