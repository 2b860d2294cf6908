/** @file `turboquant chat`: a conversation over one cache. */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { closest } from "../../closest.ts";
import type { GenerationChunk } from "../../engine/generation.ts";
import type { LLM } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";
import { allocatedBytes } from "../../eval/allocated-bytes.ts";
import { formatBytes, formatCount, significant } from "../../format-number.ts";
import { writeFileAtomically } from "../../node/write-file-atomically.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { Conversation } from "../conversation.ts";
import { comparedSize, plainTable } from "../format.ts";
import { addGenerationOptions, type GenerationFlags, samplingOf } from "../generation-options.ts";
import { LineReader } from "../line-reader.ts";
import { loadModel } from "../load-model.ts";
import { namingFile } from "../naming-file.ts";
import {
  addBackendOptions,
  addCacheOptions,
  addModelOption,
  addOutputOptions,
  addThreadsOption,
  kvFromFlags,
  loadOptionsOf,
  type ModelFlags,
} from "../options.ts";

interface ChatFlags extends ModelFlags, GenerationFlags {
  readonly system?: string;
}

const HELP = [
  ["/reset", "forget the conversation"],
  ["/save FILE", "write the conversation's cache to a file"],
  ["/load FILE", "go on with a saved cache; the model and --kv must be the same"],
  ["/stats", "tokens and bytes of the cache, speed of the last answer"],
  ["/exit", "leave"],
];

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Talks with the model; the cache is kept from turn to turn. Lines come from stdin, answers go to stdout. " +
        "Ctrl-C stops an answer; twice, it leaves. With --json every answer is one JSON line.",
    )
    .argument("[prompt...]", "the first thing to say");
  addModelOption(command);
  addCacheOptions(command);
  addGenerationOptions(command, 512).option("--system <text>", "system message");
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `\nIn the chat:\n${plainTable(HELP, ["left", "left"]).replace(/^/gm, "  ").trimEnd()}

Examples:
  $ turboquant chat
  $ turboquant chat --model Qwen/Qwen3-0.6B --kv k5v4 --system "Answer in one sentence."
  $ echo "What is the capital of France?" | turboquant chat`,
    )
    .action((words: string[], flags: ChatFlags) => run(words.join(" "), flags, context));
}

async function run(first: string, flags: ChatFlags, context: CommandContext): Promise<void> {
  const progress = progressOf(context, flags);
  await using llm = await loadModel(flags, context, progress, loadOptionsOf(flags));
  if (!llm.tokenizer.chatTemplate) {
    throw new TurboQuantError(
      "unsupported",
      `chat: ${llm.name} has no chat template (a base model); use: turboquant run --raw`,
    );
  }
  const chat = new Chat(llm, flags, context);
  await chat.loop(first);
}

class Chat {
  readonly #flags: ChatFlags;
  readonly #context: CommandContext;
  readonly #conversation: Conversation;
  readonly #lines: LineReader;
  /** Set while an answer is being generated. */
  #answering: AbortController | null = null;
  #interrupts = 0;
  #last: GenerationChunk | null = null;

  constructor(llm: LLM, flags: ChatFlags, context: CommandContext) {
    this.#flags = flags;
    this.#context = context;
    this.#conversation = new Conversation(llm, flags.system);
    const onInterrupt = () => this.#interrupted();
    this.#lines = new LineReader(context.io, onInterrupt);
    context.setInterrupt(onInterrupt);
  }

  async loop(first: string): Promise<void> {
    const { io } = this.#context;
    if (io.stdin.isTTY && !this.#flags.quiet)
      io.stderr.write("/help lists the commands, Ctrl-C stops an answer, /exit leaves\n");
    try {
      let line: string | null = first || (await this.#lines.next());
      while (line !== null) {
        this.#interrupts = 0;
        const text = line.trim();
        if (text === "/exit" || text === "/quit") break;
        await this.#guard(() =>
          text.startsWith("/") ? this.#command(text) : text ? this.#answer(text) : Promise.resolve(),
        );
        line = await this.#lines.next();
      }
    } finally {
      this.#lines.close();
      this.#conversation.release();
    }
  }

  /** Prints the error of one turn, so that it does not end the chat. */
  async #guard(turn: () => Promise<void>): Promise<void> {
    try {
      await turn();
    } catch (error) {
      const isFile = error instanceof Error && "syscall" in error;
      const isUser = error instanceof TurboQuantError && error.code !== "internal" && error.code !== "device_lost";
      if (!isFile && !isUser) throw error;
      this.#context.io.stderr.write(`error: ${error.message}\n`);
    }
  }

  #interrupted(): void {
    const { io, setExitCode } = this.#context;
    this.#interrupts++;
    if (this.#answering && !this.#answering.signal.aborted) {
      this.#answering.abort();
    } else if (this.#answering) {
      io.exitNow(130);
    } else if (this.#interrupts > 1) {
      setExitCode(130);
      this.#lines.close();
    } else {
      io.stderr.write("\nCtrl-C again, or /exit, to leave\n");
    }
  }

  async #answer(text: string): Promise<void> {
    const { io } = this.#context;
    const { json } = this.#flags;
    const progress = progressOf(this.#context, this.#flags);
    const abort = new AbortController();
    this.#answering = abort;
    let answer = "";
    try {
      const chunks = this.#conversation.answer(text, {
        ...samplingOf(this.#flags),
        signal: abort.signal,
        onPrefill: (done, total) => progress.onEvent({ phase: "prefill", item: "", done, total, unit: "tokens" }),
      });
      for await (const chunk of chunks) {
        progress.clear();
        answer += chunk.text;
        if (!json) io.stdout.write(chunk.text);
        this.#last = chunk;
      }
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    } finally {
      progress.clear();
      this.#answering = null;
    }
    if (json) {
      const { finishReason, usage, timings } = this.#last ?? {};
      const kvBytes = this.#conversation.session.kvBytes;
      io.stdout.write(`${JSON.stringify({ text: answer, finishReason, usage, timings, kvBytes })}\n`);
    } else {
      io.stdout.write("\n");
    }
    if (abort.signal.aborted) io.stderr.write("(stopped)\n");
  }

  async #command(text: string): Promise<void> {
    const [name = "", ...words] = text.split(/\s+/);
    const argument = words.join(" ");
    const needsFile = () => {
      if (!argument)
        throw new TurboQuantError("invalid_argument", `${name}: a file name is missing, as in ${name} talk.tqkv`);
    };
    const note = (message: string): void => this.#context.io.stderr.write(message);
    const { llm, session } = this.#conversation;
    switch (name) {
      case "/help":
        note(plainTable(HELP, ["left", "left"]));
        break;
      case "/reset":
        this.#conversation.reset();
        note("the conversation is forgotten\n");
        break;
      case "/save": {
        needsFile();
        const bytes = await session.save();
        await writeFileAtomically(argument, bytes);
        note(`${argument}: ${formatCount(session.sequence.length)} tokens, ${formatBytes(bytes.length)}\n`);
        break;
      }
      case "/load": {
        needsFile();
        const bytes = await readFile(argument);
        this.#conversation.adopt(namingFile(argument, () => llm.restore(bytes)));
        note(`${argument}: ${formatCount(this.#conversation.session.sequence.length)} tokens\n`);
        break;
      }
      case "/stats":
        note(this.#stats());
        break;
      default: {
        const hint = closest(name, [...HELP.map(([command]) => command!.split(" ")[0]!), "/help"]);
        throw new TurboQuantError(
          "invalid_argument",
          `unknown command ${name}; ${hint ? `did you mean ${hint}?` : "/help lists them"}`,
        );
      }
    }
  }

  #stats(): string {
    const { llm, session } = this.#conversation;
    const tokens = session.sequence.length;
    const f16 = allocatedBytes(llm.config, parseKvSpec("f16"), tokens);
    const rows = [
      ["tokens in the cache", formatCount(tokens), `of ${formatCount(llm.runner.contextLength)}`],
      ["KV cache, f16", formatBytes(f16), ""],
      [
        `KV cache, ${kvFromFlags(this.#flags)}`,
        formatBytes(session.kvBytes),
        tokens > 0 ? comparedSize(session.kvBytes, f16) : "",
      ],
    ];
    const { timings, usage } = this.#last ?? {};
    if (timings && usage) {
      rows.push([
        "last prefill",
        `${significant(timings.prefillTokPerSec)} tok/s`,
        `${formatCount(usage.cachedTokens)} tokens were in the cache`,
      ]);
      rows.push([
        "last decode",
        `${significant(timings.decodeTokPerSec)} tok/s`,
        `${formatCount(usage.completionTokens)} tokens`,
      ]);
    }
    return plainTable(rows, ["left", "right", "left"]);
  }
}
