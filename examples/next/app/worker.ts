import { LLM } from "turboquant";

// Of the package: `npm run models` has copied it into public/models. WebGPU where there is a GPU, WebAssembly elsewhere.
let loading: Promise<LLM> | undefined;

self.addEventListener("message", async ({ data, ports: [port] }: MessageEvent<{ question: string }>) => {
  try {
    loading ??= LLM.load("qwen3-3m", { kv: "k4v4" });
    const llm = await loading;
    const messages = [{ role: "user", content: data.question }] as const;
    for await (const { text } of llm.chat(messages, { maxNewTokens: 64 })) port!.postMessage({ text });
    port!.postMessage({});
  } catch (error) {
    port!.postMessage({ error: error instanceof Error ? error.message : String(error) });
  }
});
