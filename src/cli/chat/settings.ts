/** @file `/set`: how answers are drawn, changed in a running chat. */
import { closest } from "../../closest.ts";
import { parseSamplingConfig, type SamplingParams } from "../../engine/sampling-params.ts";
import { TurboQuantError } from "../../errors.ts";
import { plainTable } from "../format.ts";
import { UNLIMITED_TOKENS } from "../generation-options.ts";

/** As on the command line, and the fields they set. */
const NAMES = {
  temperature: "temperature",
  "top-k": "topK",
  "top-p": "topP",
  "min-p": "minP",
  "repetition-penalty": "repetitionPenalty",
  "frequency-penalty": "frequencyPenalty",
  "presence-penalty": "presencePenalty",
  seed: "seed",
  "max-new-tokens": "maxNewTokens",
} as const satisfies Record<string, keyof SamplingParams>;

/** Spellings of other programs. */
const OTHERS: Readonly<Record<string, keyof typeof NAMES>> = {
  temp: "temperature",
  "repeat-penalty": "repetition-penalty",
  "num-predict": "max-new-tokens",
  "n-predict": "max-new-tokens",
  "max-tokens": "max-new-tokens",
  n: "max-new-tokens",
};

export const SETTING_NAMES = Object.keys(NAMES) as (keyof typeof NAMES)[];

type Settings = Partial<SamplingParams>;

/** What counts now, a line each. defaults: of the model */
export function settingsText(settings: Settings, defaults: Settings): string {
  const config = parseSamplingConfig(settings, defaults);
  const rows = SETTING_NAMES.map((name) => {
    const value = config[NAMES[name]];
    const shown = value === UNLIMITED_TOKENS ? "what the context holds" : String(value);
    return [name, shown, NAMES[name] in settings ? "" : NAMES[name] in defaults ? "of the model" : "default"];
  });
  return plainTable(rows, ["left", "left", "left"]);
}

/**
 * The settings with one more. words: the name and the value, which may have `=` between them; `default` takes back what was set
 * @throws TurboQuantError invalid_argument — no such name, or a value out of range
 */
export function withSetting(settings: Settings, words: readonly string[], defaults: Settings): Settings {
  const [typed = "", value = ""] = words.join(" ").split(/[\s=]+/);
  const plain = typed.replaceAll("_", "-").replace(/^-+/, "").toLowerCase();
  const name = Object.hasOwn(OTHERS, plain) ? OTHERS[plain]! : SETTING_NAMES.find((each) => each === plain);
  if (name === undefined) {
    const hint = closest(plain, SETTING_NAMES);
    throw new TurboQuantError(
      "invalid_argument",
      `/set: no setting ${typed}; ${hint ? `did you mean ${hint}?` : `there are ${SETTING_NAMES.join(", ")}`}`,
    );
  }
  const field = NAMES[name];
  const others = Object.fromEntries(Object.entries(settings).filter(([key]) => key !== field));
  if (value === "default") return others;
  const number = Number(value);
  if (value === "" || Number.isNaN(number)) {
    throw new TurboQuantError("invalid_argument", `/set ${name}: expected a number or default, as in /set ${name} 1`);
  }
  const set = { ...others, [field]: field === "maxNewTokens" && number === -1 ? UNLIMITED_TOKENS : number };
  parseSamplingConfig(set, defaults);
  return set;
}
