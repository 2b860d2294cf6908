/** @file Says where what the user writes goes, and what works without a network, by what answers. */
import type { EngineChoice, ServerChoice } from "./engine/engine-choice.ts";
import { isKeptWhole } from "./kept/kept-models.ts";

const hostOf = ({ address }: ServerChoice): string => new URL(address.url || ".", location.href).host;

export function whereWordsGo(choice: EngineChoice | null): string {
  if (choice?.where === "server")
    return `What you say is kept in this browser, and sent to ${hostOf(choice)}, whose model answers.`;
  return choice
    ? "What you say is kept in this browser and goes nowhere else."
    : "What you say is kept in this browser.";
}

/** What opens without a network; a picked file has to be picked again in any case. */
export async function offlineNote(choice: EngineChoice | null): Promise<string> {
  if (choice?.where === "server") return `The page opens offline, its model on ${hostOf(choice)} does not`;
  return choice?.model.kind !== "url" || (await isKeptWhole(choice.model.ref))
    ? "Works offline"
    : "The page opens offline, its model does not: this browser has not kept all of it";
}
