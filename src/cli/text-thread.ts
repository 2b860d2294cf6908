/** @file The thread that renders templates and encodes texts, started by text-threads.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { TurboQuantError } from "../errors.ts";
import { type TextTask, textWorkHere } from "../server/text-work.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import { type TokenizerFiles, tokenizerFilesSource } from "../tokenizer/tokenizer-files.ts";
import type { TextResult } from "./text-threads.ts";

const port = parentPort!;
const post = (result: TextResult): void => port.postMessage(result);
const work = textWorkHere(await loadTokenizer(tokenizerFilesSource(workerData as TokenizerFiles)));
port.on("message", (task: TextTask) => {
  const done = task.kind === "encode" ? work.encode(task.text, task.options) : work.render(task.messages, task.options);
  done.then(
    (value) => post({ value }),
    (error: unknown) => {
      if (!(error instanceof TurboQuantError)) throw error;
      post({ code: error.code, message: error.message, detail: error.detail });
    },
  );
});
post("ready");
