import { LLM } from "turboquant";

export const runtime = "nodejs";

/** One model for all requests, loaded with the first one. */
let loading: Promise<LLM> | undefined;

export async function POST(request: Request): Promise<Response> {
  const { question } = (await request.json()) as { question?: unknown };
  if (typeof question !== "string") return new Response("expected { question }", { status: 400 });
  loading ??= LLM.load("qwen3-3m", { kv: "k4v4" });
  const llm = await loading;
  const pieces = llm.chat([{ role: "user", content: question }], { maxNewTokens: 64, signal: request.signal });
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value.text));
    },
    // A reader that goes away ends the answer.
    cancel: async () => void (await pieces.return(undefined)),
  });
  return new Response(body, { headers: { "Content-Type": "text/plain; charset=utf-8" } });
}
