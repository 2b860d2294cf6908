/** @file Requests of all kinds that clients send, by number, and what of an answer must be the same whenever it is asked for. */
import type OpenAI from "openai";
import { ADD, PERSON, WEATHER } from "../../test/support/asked-schemas.ts";
import { draw, randomTokens } from "./prompts.ts";

const TOOLS = [WEATHER, ADD];

const WORDS = "the a road town king ship river night day old small long went came saw took and but then over".split(
  " ",
);
const words = (seed: number, count: number): string =>
  Array.from({ length: count }, (_, i) => WORDS[draw(seed, i, WORDS.length)]).join(" ");
/** Words that all shared beginnings have. */
const SHARED = words(77, 150);

export const KINDS = ["completion", "chat", "schema", "calls", "tools", "grammar", "response"] as const;
export type Kind = (typeof KINDS)[number];

export interface MixedRequest {
  readonly number: number;
  readonly kind: Kind;
  readonly model: string;
  readonly isStreamed: boolean;
}

/** The i-th request. models: taken in turn */
export const mixedRequest = (number: number, models: readonly string[]): MixedRequest => ({
  number,
  kind: KINDS[number % KINDS.length]!,
  model: models[draw(21, number, models.length)]!,
  isStreamed: draw(22, number, 3) > 0,
});

export interface AskOptions {
  /** Whether prefixes may be kept and taken; false for an answer alone. */
  readonly cache: boolean;
  readonly signal?: AbortSignal;
  /** Called with each event of a stream. */
  readonly onEvent?: () => void;
}

interface Part {
  text: string;
  finish: string | null;
  readonly calls: { name: string; arguments: string }[];
}

const sampling = (number: number) => ({
  max_tokens: 12 + draw(23, number, 24),
  temperature: draw(24, number, 2) === 0 ? 0 : 0.9,
  seed: number,
});

/** returns: what was said, without ids and times, as a text to be compared */
export async function askMixed(client: OpenAI, request: MixedRequest, options: AskOptions): Promise<string> {
  const { kind } = request;
  if (kind === "completion") return askCompletion(client, request, options);
  if (kind === "response") return askResponse(client, request, options);
  return askChat(client, request, options);
}

async function askCompletion(client: OpenAI, { number, model, isStreamed }: MixedRequest, options: AskOptions) {
  const own = randomTokens(1000 + number, 16 + draw(25, number, 160));
  const body = {
    model,
    prompt: number % 2 === 0 ? own : [...randomTokens(1, 200), ...own.slice(0, 40)],
    ...sampling(number),
    ignore_eos: true,
    cache_prompt: options.cache,
  };
  const parts = new Map<number, Part>();
  const take = ({ choices }: OpenAI.Completion): void => {
    for (const { index, text, finish_reason } of choices) {
      const part = partOf(parts, index);
      part.text += text;
      part.finish = finish_reason ?? part.finish;
    }
  };
  if (isStreamed) {
    for await (const event of await client.completions.create({ ...body, stream: true }, { signal: options.signal })) {
      options.onEvent?.();
      take(event);
    }
  } else take(await client.completions.create(body, { signal: options.signal }));
  return said(parts);
}

async function askChat(client: OpenAI, { kind, number, model, isStreamed }: MixedRequest, options: AskOptions) {
  const question = words(2000 + number, 8 + draw(26, number, 60));
  const body = {
    model,
    messages: [
      ...(number % 2 === 0 ? [] : [{ role: "system" as const, content: SHARED }]),
      { role: "user" as const, content: question },
    ],
    ...sampling(number),
    ...(kind === "chat" && { n: 2, logprobs: true, top_logprobs: 2 }),
    ...(kind === "schema" && {
      max_tokens: 200,
      response_format: { type: "json_schema" as const, json_schema: { name: "person", schema: PERSON } },
    }),
    ...(kind === "calls" && {
      max_tokens: 200,
      tools: TOOLS,
      tool_choice: "required" as const,
      parallel_tool_calls: false,
    }),
    ...(kind === "tools" && { tools: TOOLS }),
    ...(kind === "grammar" && { guided_regex: "[a-c]{3}-\\d{2}( (yes|no|maybe)){3}" }),
    cache_prompt: options.cache,
  };
  const parts = new Map<number, Part>();
  const add = (index: number, text: string | null | undefined, calls: readonly Call[] | undefined): Part => {
    const part = partOf(parts, index);
    part.text += text ?? "";
    for (const [place, call] of (calls ?? []).entries()) {
      const at = call.index ?? place;
      part.calls[at] ??= { name: "", arguments: "" };
      part.calls[at].name += call.function?.name ?? "";
      part.calls[at].arguments += call.function?.arguments ?? "";
    }
    return part;
  };
  if (isStreamed) {
    const stream = await client.chat.completions.create({ ...body, stream: true }, { signal: options.signal });
    for await (const { choices } of stream) {
      options.onEvent?.();
      for (const { index, delta, finish_reason } of choices) {
        const part = add(index, delta.content, delta.tool_calls);
        part.finish = finish_reason ?? part.finish;
      }
    }
  } else {
    const { choices } = await client.chat.completions.create({ ...body, stream: false }, { signal: options.signal });
    for (const { index, message, finish_reason } of choices) {
      add(index, message.content, message.tool_calls as readonly Call[] | undefined).finish = finish_reason;
    }
  }
  return said(parts);
}

interface Call {
  readonly index?: number;
  readonly function?: { readonly name?: string; readonly arguments?: string };
}

async function askResponse(client: OpenAI, { number, model, isStreamed }: MixedRequest, options: AskOptions) {
  const { max_tokens, temperature } = sampling(number);
  const body = {
    model,
    input: words(3000 + number, 8 + draw(26, number, 60)),
    ...(number % 2 === 0 && { instructions: SHARED }),
    max_output_tokens: max_tokens,
    temperature,
    seed: number,
    store: false,
    // No way of asking sets this apart from what is kept, so a salt of its own does.
    ...(!options.cache && { cache_salt: `alone ${number}` }),
  };
  if (!isStreamed) return (await client.responses.create(body, { signal: options.signal })).output_text;
  let text = "";
  for await (const event of await client.responses.create({ ...body, stream: true }, { signal: options.signal })) {
    options.onEvent?.();
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "error" || event.type === "response.failed") throw new Error(JSON.stringify(event));
  }
  return text;
}

function partOf(parts: Map<number, Part>, index: number): Part {
  const part = parts.get(index) ?? { text: "", finish: null, calls: [] };
  parts.set(index, part);
  return part;
}

const said = (parts: Map<number, Part>): string => JSON.stringify([...parts].sort(([a], [b]) => a - b));
