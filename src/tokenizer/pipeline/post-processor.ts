/** @file What a tokenizer puts around a text: the ids before and after it. */
import { isJsonObject } from "../../formats/json-file.ts";
import { Component } from "./component.ts";

export interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const NOTHING: Around = { before: [], after: [] };

/** json: null for none */
export function readAround(json: unknown, where: string): Around {
  if (json === null || json === undefined) return NOTHING;
  const component = new Component(json, where);
  switch (component.type) {
    // Changes offsets alone.
    case "ByteLevel":
      return NOTHING;
    case "Sequence":
      return sequence(component);
    case "BertProcessing":
    case "RobertaProcessing":
      return { before: [pairId(component, "cls")], after: [pairId(component, "sep")] };
    case "TemplateProcessing":
      return template(component);
    default:
      throw component.unknownType();
  }
}

function sequence(component: Component): Around {
  const adding = component
    .list("processors")
    .map((step, index) => readAround(step, `${component.where}[${index}]`))
    .filter(({ before, after }) => before.length + after.length > 0);
  if (adding.length > 1) throw component.unsupported("a sequence of several processors that add tokens");
  return adding[0] ?? NOTHING;
}

/** ["[CLS]", 101] */
function pairId(component: Component, name: string): number {
  const id = component.list(name)[1];
  if (typeof id !== "number") throw component.invalid(`${name} of a token and its id`, component.get(name));
  return id;
}

function template(component: Component): Around {
  const known = component.get("special_tokens");
  const before: number[] = [];
  const after: number[] = [];
  let texts = 0;
  for (const part of component.list("single")) {
    if (isJsonObject(part) && isJsonObject(part["Sequence"]) && part["Sequence"]["id"] === "A") {
      texts++;
      continue;
    }
    const name = isJsonObject(part) && isJsonObject(part["SpecialToken"]) ? part["SpecialToken"]["id"] : undefined;
    const token = isJsonObject(known) && typeof name === "string" ? known[name] : undefined;
    const ids = isJsonObject(token) ? token["ids"] : undefined;
    if (!Array.isArray(ids) || !ids.every((id) => Number.isSafeInteger(id) && id >= 0)) {
      throw component.invalid("single of the text and special tokens with their ids", part);
    }
    (texts === 0 ? before : after).push(...(ids as number[]));
  }
  if (texts !== 1) throw component.unsupported(`a template that has the text ${texts} times`);
  return { before, after };
}
