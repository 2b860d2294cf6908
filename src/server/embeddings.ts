/** @file `POST /v1/embeddings`: vectors of texts or token ids. All limits hold before the first of them is read. */
import { checkTokens } from "../backends/check-tokens.ts";
import { checkDimensions, embedAll } from "../engine/embed.ts";
import type { LLM } from "../engine/llm.ts";
import { ApiError } from "./api-error.ts";
import type { Call } from "./call.ts";
import { encodePrompts } from "./encode-text.ts";
import type { EmbeddingRequest } from "./request-schema.ts";
import { promptList } from "./token-fields.ts";
import { sumUsage } from "./usage.ts";

/** OpenAI's limit. */
const MAX_INPUTS = 2048;
/** Limit of numbers in one answer, some 40 MB of JSON. */
const MAX_NUMBERS = 1 << 21;

export async function embeddings(call: Call, request: EmbeddingRequest): Promise<Response> {
  const { pooling: usual = "last" } = call.server;
  const model = await call.use(request.model);
  const { llm, scheduler } = call.model;
  const dimensions = request.dimensions ?? undefined;
  checkDimensions(llm, dimensions);
  const inputs = promptList(request.input);
  const numNumbers = inputs.length * (dimensions ?? llm.config.hiddenSize);
  if (inputs.length > MAX_INPUTS) {
    throw wrongInput(
      `expected at most ${MAX_INPUTS} texts or lists of token ids, got ${inputs.length}; split the request`,
    );
  }
  if (numNumbers > MAX_NUMBERS) {
    throw wrongInput(
      `${inputs.length} vectors have ${numNumbers} numbers, more than ${MAX_NUMBERS}; ask for fewer at once, or for fewer dimensions`,
    );
  }
  const encoding = { addSpecialTokens: request.add_special_tokens ?? true };
  const prompts = await encodePrompts(call, inputs, encoding, "input", (ids, i) => checkInput(llm, ids, i));
  const pooling = request.pooling ?? usual;
  const options = { ...call.owned(null, prompts), pooling, signal: call.signal, ...(dimensions && { dimensions }) };
  const vectors = await embedAll(scheduler, prompts, options);
  const promptTokens = prompts.reduce((sum, { length }) => sum + length, 0);
  const usage = sumUsage([{ promptTokens, cachedTokens: 0, completionTokens: 0 }], []);
  call.onUsage(usage);
  const write = request.encoding_format === "base64" ? base64 : (vector: Float32Array) => [...vector];
  const { prompt_tokens, total_tokens } = usage;
  const rest = JSON.stringify({ model, usage: { prompt_tokens, total_tokens } });
  const encoder = new TextEncoder();
  let index = 0;
  // One vector at a time, so that no other request waits for all of them.
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const start = index === 0 ? '{"object":"list","data":[' : ",";
      const one = JSON.stringify({ object: "embedding", index, embedding: write(vectors[index]!) });
      index++;
      const isLast = index === vectors.length;
      controller.enqueue(encoder.encode(`${start}${one}${isLast ? `],${rest.slice(1)}` : ""}`));
      if (isLast) controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}

const wrongInput = (message: string, code = "invalid_value", at?: number): ApiError => {
  const param = at === undefined ? "input" : `input.${at}`;
  return new ApiError(400, `${param}: ${message}`, { code, param });
};

function checkInput(llm: LLM, ids: readonly number[], at: number): void {
  const { contextLength } = llm.runner;
  if (ids.length === 0) throw wrongInput("it has no tokens; leave it out", "invalid_value", at);
  if (ids.length > contextLength) {
    const message = `${ids.length} tokens do not fit the context of ${contextLength}; shorten it`;
    throw wrongInput(message, "context_length_exceeded", at);
  }
  checkTokens(`input.${at}`, ids, llm.config.vocabSize);
}

/** Little-endian, as OpenAI's clients read it. */
function base64(vector: Float32Array): string {
  const bytes = new DataView(new ArrayBuffer(vector.length * 4));
  for (const [i, value] of vector.entries()) bytes.setFloat32(i * 4, value, true);
  let text = "";
  for (let i = 0; i < bytes.byteLength; i++) text += String.fromCharCode(bytes.getUint8(i));
  return btoa(text);
}
