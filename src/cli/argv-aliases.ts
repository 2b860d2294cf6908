/**
 * @file Accepts the spellings that llama.cpp, Ollama, vLLM and Transformers have for our options. commander has no short options of several
 * letters, so argv is rewritten first.
 */

/** Aliases that every command accepts. */
export const ALIASES: Readonly<Record<string, string>> = {
  "-ctk": "--cache-type-k",
  "-ctv": "--cache-type-v",
  "-np": "--parallel",
  // These would be read as a short option with its value.
  "-ngl": "--n-gpu-layers",
  "-fa": "--flash-attn",
  "-cnv": "--conversation",
  "-ub": "--ubatch-size",
  "-hf": "--model",
  "--hf-repo": "--model",
  "-sys": "--system",
  "--system-prompt": "--system",
  "--temp": "--temperature",
  "--ctx-size": "--ctx",
  "--num-ctx": "--ctx",
  "--n-ctx": "--ctx",
  "--context-length": "--ctx",
  "--max-model-len": "--ctx",
  "--max-tokens": "--max-new-tokens",
  "--predict": "--max-new-tokens",
  "--n-predict": "--max-new-tokens",
  "--num-predict": "--max-new-tokens",
  "--repeat-penalty": "--repetition-penalty",
  "-md": "--draft-model",
  "--model-draft": "--draft-model",
  "--assistant-model": "--draft-model",
  "--draft": "--draft-max",
  "--draft-n": "--draft-max",
  "--num-speculative-tokens": "--draft-max",
  "--prompt-lookup-num-tokens": "--draft-max",
  "--kv-cache-dtype": "--kv",
  "--n-prompt": "--prompt-tokens",
  "--n-gen": "--gen-tokens",
  "--n-depth": "--depth",
  "--repetitions": "--repeats",
};

/** Rewrites `-ctk q8_0`, `-ctk=q8_0` and `--top_p 0.9`; everything after `--` is left alone. */
export function normalizeArgv(argv: readonly string[]): string[] {
  const out: string[] = [];
  let literal = false;
  for (const arg of argv) {
    if (arg === "--") literal = true;
    const at = arg.indexOf("=");
    const typed = at < 0 ? arg : arg.slice(0, at);
    const name = /^--[a-z][a-z_-]*$/.test(typed) ? typed.replaceAll("_", "-") : typed;
    out.push(literal ? arg : (Object.hasOwn(ALIASES, name) ? ALIASES[name]! : name) + arg.slice(typed.length));
  }
  return out;
}
