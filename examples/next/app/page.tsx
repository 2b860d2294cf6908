"use client";

import { type FormEvent, useEffect, useRef, useState } from "react";

type OnText = (text: string) => void;

/** The answer of a model on the server, piece by piece. */
async function askServer(question: string, onText: OnText): Promise<void> {
  const response = await fetch("/api/answer", { method: "POST", body: JSON.stringify({ question }) });
  if (!response.ok || !response.body) throw new Error(await response.text());
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    onText(decoder.decode(part.value, { stream: true }));
  }
}

/** The answer of a model in this tab, by a worker so that the page stays free. */
function askWorker(worker: Worker, question: string, onText: OnText): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve, reject) => {
    worker.onerror = ({ message }) => reject(new Error(message || "the worker failed to start"));
    port1.onmessage = ({ data }: MessageEvent<{ text?: string; error?: string }>) => {
      if (data.text !== undefined) onText(data.text);
      else if (data.error !== undefined) reject(new Error(data.error));
      else resolve();
    };
    worker.postMessage({ question }, [port2]);
  });
}

export default function Page() {
  const [where, setWhere] = useState<"tab" | "server">("tab");
  const [answer, setAnswer] = useState("");
  const [state, setState] = useState<"starting" | "ready" | "busy" | "failed">("starting");
  const worker = useRef<Worker | null>(null);
  useEffect(() => {
    // From here on `ask` is there. Before, the browser itself would send the form.
    setState("ready");
    return () => worker.current?.terminate();
  }, []);

  async function ask(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const question = String(new FormData(event.currentTarget).get("question"));
    setAnswer("");
    setState("busy");
    try {
      const onText: OnText = (text) => setAnswer((before) => before + text);
      worker.current ??= new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
      await (where === "tab" ? askWorker(worker.current, question, onText) : askServer(question, onText));
      setState("ready");
    } catch (error) {
      setAnswer(error instanceof Error ? error.message : String(error));
      setState("failed");
    }
  }

  return (
    <main>
      <form onSubmit={ask}>
        <input name="question" defaultValue="What is the capital of France?" aria-label="Question" size={40} />
        <select value={where} onChange={(event) => setWhere(event.target.value as "tab" | "server")} aria-label="Where">
          <option value="tab">in this tab</option>
          <option value="server">on the server</option>
        </select>
        <button disabled={state === "starting" || state === "busy"}>Ask</button>
      </form>
      <p id="answer" aria-live="polite" data-state={state}>
        {answer}
      </p>
    </main>
  );
}
