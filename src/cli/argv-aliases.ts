/**
 * @file Accepts llama.cpp's spellings of our options. commander has no short options of several letters, so argv is rewritten first.
 */

/** Aliases that every command accepts. */
const ALIASES: Readonly<Record<string, string>> = {
  "-ctk": "--cache-type-k",
  "-ctv": "--cache-type-v",
  "-np": "--parallel",
  "-hf": "--model",
  "--hf-repo": "--model",
  "--temp": "--temperature",
  "--ctx-size": "--ctx",
  "--predict": "--max-new-tokens",
  "--n-predict": "--max-new-tokens",
  "--repeat-penalty": "--repetition-penalty",
  "--n-prompt": "--prompt-tokens",
  "--n-gen": "--gen-tokens",
  "--n-depth": "--depth",
  "--repetitions": "--repeats",
};

/** Rewrites `-ctk q8_0` and `-ctk=q8_0`; everything after `--` is left alone. */
export function normalizeArgv(argv: readonly string[]): string[] {
  const out: string[] = [];
  let literal = false;
  for (const arg of argv) {
    if (arg === "--") literal = true;
    const at = arg.indexOf("=");
    const name = at < 0 ? arg : arg.slice(0, at);
    const alias = literal || !Object.hasOwn(ALIASES, name) ? undefined : ALIASES[name];
    out.push(alias === undefined ? arg : alias + arg.slice(name.length));
  }
  return out;
}
