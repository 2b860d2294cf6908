// Streams an answer, and says what the cache took: node answer.mjs "What is the capital of France?"
import { LLM } from "turboquant";

const question = process.argv.slice(2).join(" ") || "What is the capital of France?";

// A model of the package, a folder, a .gguf file, or a name on the Hugging Face Hub such as "Qwen/Qwen3-0.6B".
const llm = await LLM.load("qwen3-3m", { kv: "k4v4" });
const session = llm.createSession();
try {
  for await (const { text, usage } of session.chat([{ role: "user", content: question }], { maxNewTokens: 64 })) {
    process.stdout.write(text);
    if (usage) console.log(`\n${usage.promptTokens} + ${usage.completionTokens} tokens in ${session.kvBytes} bytes of k4v4`);
  }
} finally {
  session.release();
  await llm.dispose();
}
