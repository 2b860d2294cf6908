/** @file `turboquant chat`: a conversation over one cache. */
import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { closest } from "../../closest.ts";
import type { GenerationChunk } from "../../engine/generation.ts";
import type { LLM } from "../../engine/llm.ts";
import { parseSamplingConfig, type SamplingParams } from "../../engine/sampling-params.ts";
import { parseSpeculation } from "../../engine/speculation/speculation-options.ts";
import { TurboQuantError } from "../../errors.ts";
import { allocatedBytes } from "../../eval/allocated-bytes.ts";
import { formatBytes, formatCount, significant } from "../../format-number.ts";
import { writeFileAtomically } from "../../node/write-file-atomically.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { COMMAND_NAMES, commandsText, completeLine } from "../chat/chat-commands.ts";
import { type AnswerOptions, Conversation } from "../chat/conversation.ts";
import { historyPath, readHistory, writeHistory } from "../chat/history-file.ts";
import { LineReader } from "../chat/line-reader.ts";
import { settingsText, withSetting } from "../chat/settings.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { comparedSize, formatPercent, plainTable } from "../format.ts";
import { addGenerationOptions, type GenerationFlags, samplingOf } from "../generation-options.ts";
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
import { addRopeOptions, type RopeFlags, ropeOptionOf } from "../rope-flags.ts";
import {
  addSpeculationOptions,
  checkSpeculation,
  openSpeculation,
  type SpeculationFlags,
} from "../speculation-flags.ts";
import { reasonOf, systemErrorLine } from "../system-error.ts";

interface ChatFlags extends ModelFlags, RopeFlags, GenerationFlags, SpeculationFlags {
  readonly prompt?: string;
  readonly system?: string;
  readonly contextShift: boolean;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Talks with the model; the cache is kept from turn to turn. Lines come from stdin, answers go to stdout. " +
        "Ctrl-C stops an answer; twice, it leaves. With --json every answer is one JSON line.",
    )
    .argument("[prompt...]", "the first thing to say");
  addModelOption(command);
  addRopeOptions(addCacheOptions(command));
  addGenerationOptions(command, 512)
    .option("--system <text>", "system message")
    .option("--no-context-shift", "when the context is full, stop, instead of forgetting the oldest turns")
    .addOption(new Option("--context-shift").hideHelp())
    .addOption(new Option("-p, --prompt <text>", "the same as the argument").hideHelp());
  addSpeculationOptions(command);
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `\nIn the chat:\n${commandsText().replace(/^/gm, "  ").trimEnd()}

Examples:
  $ turboquant chat
  $ turboquant chat --model Qwen/Qwen3-0.6B --kv k5v4 --system "Answer in one sentence."
  $ echo "What is the capital of France?" | turboquant chat`,
    )
    .action((words: string[], flags: ChatFlags) => run(words.join(" ") || (flags.prompt ?? ""), flags, context));
}

async function run(first: string, flags: ChatFlags, context: CommandContext): Promise<void> {
  const progress = progressOf(context, flags);
  // What is wrong with these is said before anything is loaded.
  const speculation = checkSpeculation(flags);
  await using drafts = await openSpeculation(speculation, flags, context);
  await using llm = await loadModel(flags, context, progress, {
    ...loadOptionsOf({ ...flags, ...drafts.limits }),
    ...ropeOptionOf(flags),
  });
  if (!llm.tokenizer.chatTemplate) {
    throw new TurboQuantError(
      "unsupported",
      `chat: ${llm.name} has no chat template (a base model); use: turboquant run --raw`,
    );
  }
  const chat = new Chat(llm, flags, context, drafts.options);
  await chat.loop(first);
}

class Chat {
  readonly #drafts: Pick<AnswerOptions, "speculate">;
  readonly #flags: ChatFlags;
  readonly #context: CommandContext;
  readonly #conversation: Conversation;
  readonly #lines: LineReader;
  /** The model as it was loaded; the conversation may be over one of its views. */
  readonly #loaded: LLM;
  #kv: string;
  #settings: Partial<SamplingParams>;
  /** Set while an answer is being generated. */
  #answering: AbortController | null = null;
  #interrupts = 0;
  #last: GenerationChunk | null = null;
  #saysHistoryFails = true;

  constructor(llm: LLM, flags: ChatFlags, context: CommandContext, drafts: Pick<AnswerOptions, "speculate">) {
    this.#drafts = drafts;
    // A draft model with another vocabulary is refused before the first answer.
    parseSpeculation(drafts.speculate, llm);
    this.#flags = flags;
    this.#context = context;
    this.#loaded = llm;
    this.#kv = kvFromFlags(flags);
    this.#settings = samplingOf(flags);
    // A range that is wrong is said before the first answer.
    parseSamplingConfig(this.#settings, llm.samplingDefaults);
    this.#conversation = new Conversation(llm, flags.system);
    const onInterrupt = () => this.#interrupted();
    const path = historyPath();
    this.#lines = new LineReader(context.io, {
      onInterrupt,
      history: readHistory(path),
      onHistory: (lines) => this.#keepHistory(path, lines),
      complete: completeLine,
    });
    context.setInterrupt(onInterrupt);
  }

  async loop(first: string): Promise<void> {
    const { io } = this.#context;
    if (io.stdin.isTTY && !this.#flags.quiet) {
      const { name, runner } = this.#loaded;
      io.stderr.write(
        `${name}, cache ${this.#kv}, context ${formatCount(runner.contextLength)}; /help lists the commands, Ctrl-C stops an answer, /exit leaves\n`,
      );
    }
    try {
      let message: string | null = first || (await this.#lines.next());
      while (message !== null) {
        this.#interrupts = 0;
        const text = message.trim();
        if (text === "/exit" || text === "/quit") break;
        await this.#guard(() =>
          text.startsWith("/") ? this.#command(text) : text ? this.#answer(text) : Promise.resolve(),
        );
        message = await this.#lines.next();
      }
    } finally {
      this.#lines.close();
      this.#conversation.release();
      const { llm } = this.#conversation;
      if (llm !== this.#loaded) await llm.dispose();
    }
  }

  /** Prints the error of one turn, so that it does not end the chat. */
  async #guard(turn: () => Promise<void>): Promise<void> {
    try {
      await turn();
    } catch (error) {
      const isUser = error instanceof TurboQuantError && error.code !== "internal" && error.code !== "device_lost";
      const line = isUser ? error.message : systemErrorLine(error);
      if (line === null) throw error;
      this.#context.io.stderr.write(`error: ${line}\n`);
    }
  }

  #note(message: string): void {
    if (!this.#flags.quiet) this.#context.io.stderr.write(`${message}\n`);
  }

  #keepHistory(path: string | null, lines: readonly string[]): void {
    const failure = writeHistory(path, lines);
    if (failure === null || !this.#saysHistoryFails) return;
    this.#saysHistoryFails = false;
    this.#note(`(${path} is not kept: ${reasonOf(failure)}; TURBOQUANT_HISTORY names another file, or off)`);
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

  /** text: what the user said; null to answer the last turn again */
  async #answer(text: string | null): Promise<void> {
    const settings = this.#settings;
    const { io } = this.#context;
    const { json } = this.#flags;
    const progress = progressOf(this.#context, this.#flags);
    const abort = new AbortController();
    this.#answering = abort;
    let answer = "";
    try {
      const options: AnswerOptions = {
        ...settings,
        ...this.#drafts,
        maxNewTokens: settings.maxNewTokens ?? this.#flags.maxNewTokens,
        shifts: this.#flags.contextShift,
        onForget: (turns) => {
          progress.clear();
          this.#note(
            turns > 0
              ? `(the context is full: the oldest ${turns === 1 ? "turn is" : `${turns} turns are`} forgotten; --ctx N is larger, --no-context-shift stops instead)`
              : "(the context is full: the older half of it is forgotten)",
          );
        },
        signal: abort.signal,
        onPrefill: (done, total) => progress.onEvent({ phase: "prefill", item: "", done, total, unit: "tokens" }),
      };
      const conversation = this.#conversation;
      const chunks = text === null ? conversation.answerAgain(options) : conversation.answer(text, options);
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
    else if (this.#last?.finishReason === "length") this.#note(this.#whyItEnded());
  }

  #whyItEnded(): string {
    if (!this.#conversation.isFull) return "(ended at --max-new-tokens; /set max-new-tokens N allows more)";
    const tokens = formatCount(this.#conversation.llm.runner.contextLength);
    return `(the context of ${tokens} tokens is full; /undo or /reset makes room, a larger --ctx has more)`;
  }

  async #command(text: string): Promise<void> {
    const [name = "", ...words] = text.split(/\s+/);
    const argument = text.slice(name.length).trim();
    const needsFile = () => {
      if (!argument)
        throw new TurboQuantError("invalid_argument", `${name}: a file name is missing, as in ${name} talk.tqkv`);
    };
    const say = (message: string): void => this.#context.io.stderr.write(message);
    const { llm, session } = this.#conversation;
    switch (name) {
      case "/help":
        say(commandsText());
        break;
      case "/set":
        if (words.length > 0) this.#settings = withSetting(this.#settings, words, llm.samplingDefaults);
        say(settingsText({ maxNewTokens: this.#flags.maxNewTokens, ...this.#settings }, llm.samplingDefaults));
        break;
      case "/system":
        if (argument) this.#conversation.setSystem(argument);
        say(`${this.#conversation.system ?? "no system message; /system TEXT sets one"}\n`);
        break;
      case "/kv":
        if (argument) await this.#changeKv(argument);
        say(`cache ${this.#kv}\n`);
        break;
      case "/undo": {
        const said = this.#conversation.undo();
        say(said === undefined ? "nothing was said yet\n" : `taken back: ${said}\n`);
        break;
      }
      case "/regen": {
        if (this.#conversation.lastSaid === undefined) say("nothing was said yet\n");
        else await this.#regenerate();
        break;
      }
      case "/history": {
        const { messages } = this.#conversation;
        const lines = messages?.map(({ role, content }) => `${role}: ${content}\n`) ?? [
          "of a loaded conversation only the cache is known\n",
        ];
        say(lines.length > 0 ? lines.join("") : "nothing was said yet\n");
        break;
      }
      case "/reset":
        this.#conversation.reset();
        say("the conversation is forgotten\n");
        break;
      case "/save": {
        needsFile();
        const bytes = await session.save();
        await writeFileAtomically(argument, bytes);
        say(`${argument}: ${formatCount(session.sequence.length)} tokens, ${formatBytes(bytes.length)}\n`);
        break;
      }
      case "/load": {
        needsFile();
        const bytes = await readFile(argument).catch((error: NodeJS.ErrnoException) => {
          // Reading a folder fails without its name.
          throw Object.assign(error, { path: argument });
        });
        this.#conversation.adopt(namingFile(argument, () => llm.restore(bytes)));
        say(`${argument}: ${formatCount(this.#conversation.session.sequence.length)} tokens\n`);
        break;
      }
      case "/stats":
        say(this.#stats());
        break;
      default: {
        const hint = closest(name, COMMAND_NAMES);
        throw new TurboQuantError(
          "invalid_argument",
          `unknown command ${name}; ${hint ? `did you mean ${hint}?` : "/help lists them"}`,
        );
      }
    }
  }

  async #regenerate(): Promise<void> {
    const { samplingDefaults } = this.#conversation.llm;
    const { temperature, seed } = parseSamplingConfig(this.#settings, samplingDefaults);
    if (temperature === 0) this.#note("(greedy answers are always the same; /set temperature 0.8 draws)");
    this.#settings = { ...this.#settings, seed: (seed + 1) % 2 ** 32 };
    await this.#answer(null);
  }

  async #changeKv(spec: string): Promise<void> {
    const { llm } = this.#conversation;
    const next = await this.#loaded.withKv(spec);
    try {
      this.#conversation.moveTo(next);
    } catch (error) {
      await next.dispose();
      throw error;
    }
    this.#kv = spec;
    if (llm !== this.#loaded) await llm.dispose();
  }

  #stats(): string {
    const { llm, session } = this.#conversation;
    const tokens = session.sequence.length;
    const f16 = allocatedBytes(llm.config, parseKvSpec("f16"), tokens);
    const rows = [
      ["tokens in the cache", formatCount(tokens), `of ${formatCount(llm.runner.contextLength)}`],
      ["KV cache, f16", formatBytes(f16), ""],
      [`KV cache, ${this.#kv}`, formatBytes(session.kvBytes), tokens > 0 ? comparedSize(session.kvBytes, f16) : ""],
    ];
    const { timings, usage } = this.#last ?? {};
    if (timings && usage) {
      rows.push([
        "last prefill",
        `${significant(timings.prefillTokPerSec)} tok/s`,
        `${formatCount(usage.cachedTokens)} tokens were in the cache`,
      ]);
      const { draftedTokens, acceptedTokens = 0 } = usage;
      if (draftedTokens) {
        rows.push([
          "last drafts",
          formatPercent(acceptedTokens / draftedTokens),
          `of ${formatCount(draftedTokens)} tokens were right`,
        ]);
      }
      rows.push([
        "last decode",
        `${significant(timings.decodeTokPerSec)} tok/s`,
        `${formatCount(usage.completionTokens)} tokens`,
      ]);
    }
    return plainTable(rows, ["left", "right", "left"]);
  }
}
