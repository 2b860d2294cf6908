/** @file Puts the engine's messages, which name options of the command line, into the words of the page's controls. */

const BACKENDS: Readonly<Record<string, string>> = { wasm: "CPU", webgpu: "WebGPU" };

/** In this order: whole phrases first, then options that are left. */
const PHRASES: readonly (readonly [RegExp, string | ((...match: string[]) => string)])[] = [
  [
    /it belongs to another model: expected fingerprint \S+, got \S+; load the model it was saved with/,
    "it is the cache of another model, or of this one with another calibration; choose the model that it was saved with",
  ],
  [/load the model with --kv (\S+)/g, "choose the format $1 under KV cache, then restore it again"],
  [/load with a larger contextLength \(--ctx\)/g, "choose a format with fewer bits under KV cache"],
  [/stretch the model's context, at some loss \(--rope-scaling [^)]*\)/g, "begin a new conversation"],
  [/--ctx (\S+) fits with --kv (\S+)/g, "$1 tokens fit in $2"],
  [/--kv (\S+) fits/g, "the format $1 fits"],
  [/--weights (\w+)( would take| takes)/g, "weights in $1 (under Model)$2"],
  [/with --weights (\w+)/g, "with weights in $1 (under Model)"],
  [
    /(?:use |try |or )?--backend (\w+)/g,
    (match, name) => {
      const [word] = /^(?:use|try|or) /.exec(match!) ?? [""];
      return `${word}${BACKENDS[name!] ?? name} as what computes (under Model)`;
    },
  ],
  [/run turboquant calibrate --force, or pass calibration=off/g, "add calibration=off to the format"],
  [/; turboquant calibrate --force makes one for all/g, ""],
  [/use one thread \(--threads 1\), or allow workers here/g, "let the server of this page allow workers"],
  [/raise the budget \(--kv-budget\), /g, ""],
  [/ \(--memory\)/g, ""],
  [/^--kv(?=[: ])/g, "format"],
  [/--kv (?=\S)/g, "the format "],
];

export const inPageWords = (message: string): string =>
  PHRASES.reduce((text, [phrase, by]) => text.replace(phrase, by as string), message);
