/**
 * @file Speed of ours and of llama.cpp on the same GGUF file: `npx tsx bench/peers/speed.ts [FILE.gguf]`.
 *
 *   options: --shape qwen3-0.6b --layers N --file-type q4_k_m   (without a file: random weights of a public shape)
 *            -d 0,4096 -p 512 -n 32 --kv k4v4,f16 --peer-kv f16,q8_0 -t 2 -r 5 --limit SECONDS --json -o FILE.jsonl
 *
 * Each engine is a process of its own with the model loaded; they are asked in turns (ours, llama.cpp, ours, …) for one repeat of one
 * test, and are idle otherwise, so that both meet the same machine. Before the repeats of a test each has a warm-up of it. A
 * figure is the median of the repeats; a ratio is ours over the best cache type of llama.cpp in the same test.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { installPeers, versionOf } from "./install.ts";
import type { EngineOptions, Reply } from "./speed-engine.ts";
import { compareSpeed, type Engine, readSpeedOptions } from "./speed-run.ts";
import type { SpeedTest } from "./speed-test.ts";

/** A process with one engine. It is asked one thing at a time. */
class EngineProcess implements Engine {
  readonly #child: ChildProcess;
  readonly name: "turboquant" | "llama.cpp";
  readonly kv: readonly string[];

  constructor(name: "turboquant" | "llama.cpp", options: EngineOptions) {
    this.name = name;
    this.kv = options.kv;
    this.#child = fork(fileURLToPath(new URL("speed-engine.ts", import.meta.url)), [name, JSON.stringify(options)]);
  }

  run(test: SpeedTest): Promise<number | null> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error(`the process of ${this.name} ended; its message is above`));
      this.#child.once("exit", onExit);
      this.#child.once("message", (reply: Reply) => {
        this.#child.off("exit", onExit);
        resolve(reply.ms);
      });
      this.#child.send(test);
    });
  }

  stop(): void {
    if (this.#child.connected) this.#child.disconnect();
  }
}

const options = await readSpeedOptions();
installPeers();
const ours = new EngineProcess("turboquant", { ...options, kv: options.kv });
const theirs = new EngineProcess("llama.cpp", { ...options, kv: options.peerKv });
try {
  const peer = { peer: "node-llama-cpp", version: versionOf("node-llama-cpp") };
  await compareSpeed([ours, theirs], options, { benchmark: "peer-speed", ...peer });
} finally {
  ours.stop();
  theirs.stop();
}
