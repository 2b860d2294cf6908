/** @file Routes that only report: tokenization, properties, readiness. */
import { forTemplate } from "../chat/tool-prompt.ts";
import type { LLM } from "../engine/llm.ts";
import { ApiError } from "./api-error.ts";
import type { Call } from "./call.ts";
import { chatPrompt } from "./chat-plan.ts";
import { encodePrompt, textWorkOf } from "./encode-text.ts";
import { templateMessages } from "./message-fields.ts";
import type { ChatRequest, DetokenizeRequest, TokenizeRequest } from "./request-schema.ts";

/** Accepts llama.cpp's `content` and vLLM's `prompt` or `messages`; answers with the fields of both. */
export async function tokenize(call: Call, request: TokenizeRequest): Promise<Response> {
  await call.use(request.model);
  const { llm } = call.model;
  const { content, prompt, messages } = request;
  if ([content, prompt, messages].filter((given) => given !== undefined).length !== 1) {
    throw new ApiError(400, "body: expected one of content, prompt and messages", { code: "invalid_value" });
  }
  const text = messages
    ? await textWorkOf(call).render(
        forTemplate(llm.tokenizer.chatTemplate?.text ?? "", templateMessages(messages)),
        { addGenerationPrompt: request.add_generation_prompt ?? true },
        call.signal,
      )
    : (content ?? prompt ?? "");
  // llama.cpp adds special tokens only if asked; vLLM adds them to prompts; a chat template has written its own.
  const addSpecialTokens = request.add_special ?? request.add_special_tokens ?? prompt !== undefined;
  const tokens = await encodePrompt(call, text, { addSpecialTokens });
  const pieces = (): string[] => tokens.map((id) => llm.tokenizer.decode([id]));
  return Response.json({
    tokens: request.with_pieces ? pieces().map((piece, i) => ({ id: tokens[i], piece })) : tokens,
    count: tokens.length,
    max_model_len: llm.runner.contextLength,
    ...(request.return_token_strs && { token_strs: pieces() }),
  });
}

export async function detokenize(call: Call, { tokens, model }: DetokenizeRequest): Promise<Response> {
  await call.use(model);
  const { llm } = call.model;
  const wrong = tokens.find((id) => id >= llm.config.vocabSize);
  if (wrong !== undefined) {
    throw new ApiError(400, `tokens: expected ids from 0 to ${llm.config.vocabSize - 1}, got ${wrong}`, {
      code: "invalid_value",
      param: "tokens",
    });
  }
  const text = llm.tokenizer.decode(tokens);
  return Response.json({ content: text, prompt: text });
}

/** vLLM's: what clients that encode by `/tokenize` have to know besides, lm-evaluation-harness among them. */
export async function tokenizerInfo(call: Call, model: string | null): Promise<Response> {
  await call.use(model);
  const { llm } = call.model;
  const { tokenizer, eosTokens } = llm;
  const textOf = (id: number | undefined): string | null => (id === undefined ? null : tokenizer.decode([id]));
  // What stands before every text begins it.
  const [first] = tokenizer.encode("a");
  return Response.json({
    bos_token: first !== undefined && tokenizer.isSpecial(first) ? textOf(first) : null,
    eos_token: textOf([...eosTokens][0]),
    chat_template: defaultTemplate(llm),
  });
}

const defaultTemplate = ({ tokenizer }: LLM): string | null => tokenizer.chatTemplate?.sources.get("default") ?? null;

/** llama.cpp's `/apply-template`: the prompt of a chat request, which is not computed. */
export async function applyTemplate(call: Call, request: ChatRequest): Promise<Response> {
  await call.use(request.model);
  return Response.json({ prompt: await chatPrompt(call, request) });
}

export const version = ({ server }: Call): Response => Response.json({ version: server.version });

/** Whether requests are taken, by the engine's own word; `/health` (gate.ts) says that the server is alive. */
export const ready = ({ server }: Call): Response =>
  server.models.isDraining
    ? Response.json({ status: "shutting down" }, { status: 503 })
    : Response.json({ status: "ready" });

export const metrics = ({ server }: Call): Response =>
  new Response(server.metrics.text(), { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });

/** llama.cpp's `/props`, with the fields that apply here. */
export function props(call: Call, model: string | null): Response {
  const name = call.useLoaded(model);
  const { server } = call;
  const { llm, scheduler } = call.model;
  return Response.json({
    default_generation_settings: { n_ctx: llm.runner.contextLength, params: llm.samplingDefaults },
    total_slots: scheduler.maxRunning,
    model_alias: name,
    chat_template: defaultTemplate(llm),
    build_info: `turboquant ${server.version}`,
    kv_cache: llm.decoder.kv.text,
    backend: llm.ops.describe(),
    slot_save: server.slotStore !== null,
  });
}
