import { LLM } from "turboquant";

const form = document.querySelector("form")!;
const button = document.querySelector("button")!;
const [answer, status] = ["answer", "status"].map((id) => document.getElementById(id)!) as [HTMLElement, HTMLElement];

// Of the package: `npm run models` has copied it into public/models. WebGPU where there is a GPU, WebAssembly elsewhere.
const llm = await LLM.load("qwen3-3m", {
  kv: "k4v4",
  onProgress: ({ phase, done, total }) => {
    status.textContent = `${phase}: ${done} of ${total}`;
  },
});
status.textContent = llm.ops.describe();
button.disabled = false;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  answer.textContent = "";
  const content = String(new FormData(form).get("question"));
  for await (const { text } of llm.chat([{ role: "user", content }], { maxNewTokens: 64 })) answer.textContent += text;
  button.disabled = false;
});
