/** @file Ours in the page of `browser.ts`: the first message loads the model, every other one is a test. */
import { LLM } from "../../src/browser.ts";
import { MemorySource } from "../../src/formats/memory-source.ts";
import type { PageOptions } from "./browser-page.ts";
import { ourTests, type RunTest, type SpeedTest } from "./speed-test.ts";

export type WorkerReply = { readonly ms: number | null } | { readonly error: string };

async function load(options: PageOptions): Promise<RunTest> {
  const { kv, threads, longest: contextLength } = options;
  const [first, ...otherKv] = kv;
  const bytes = new Uint8Array(await (await fetch("/model.gguf")).arrayBuffer());
  const source = new MemorySource({ "model.gguf": bytes }, "page");
  const llm = await LLM.load(source, { backend: "wasm", kv: first!, otherKv, threads, contextLength });
  return ourTests(llm, options);
}

let run: RunTest | undefined;
globalThis.onmessage = async ({ data }: MessageEvent<PageOptions | SpeedTest>) => {
  const reply = (message: WorkerReply): void => globalThis.postMessage(message);
  try {
    if (run) reply({ ms: await run(data as SpeedTest) });
    else {
      run = await load(data as PageOptions);
      reply({ ms: null });
    }
  } catch (error) {
    reply({ error: (error as Error).message });
  }
};
