/** @file Which engine the page uses: chosen by the user, saved, and restored on the next visit. */
import { isKeptWhole } from "../kept/kept-models.ts";
import { isRecord, readSaved, save } from "../ui/saved.ts";
import { type BackendChoice, type ListedFile, type ModelRef, WEIGHT_CHOICES, type WeightChoice } from "./protocol.ts";
import { listServerModels, type ServerAddress } from "./server-engine.ts";

export const DEFAULT_KV = "k4v4";
const OWN_SERVER: ServerAddress = { url: "" };

export interface TabChoice {
  readonly where: "tab";
  readonly model: ModelRef;
  readonly kv: string;
  readonly backend: BackendChoice;
  readonly weights: WeightChoice;
  /** Tokens that the model is stretched to, beyond its own context. */
  readonly contextLength?: number;
}

export interface ServerChoice {
  readonly where: "server";
  readonly address: ServerAddress;
  readonly model: string;
}

export type EngineChoice = TabChoice | ServerChoice;

export interface EmbeddedModel {
  readonly name: string;
  readonly files: readonly ListedFile[];
}

/** What is saved of a choice: names only. A picked folder cannot be opened again without the user, and API keys are not stored. */
interface Remembered {
  readonly where: "tab" | "server";
  readonly model: string;
  readonly isUrl?: boolean;
  readonly kv?: string;
  readonly backend?: BackendChoice;
  readonly weights?: WeightChoice;
  readonly url?: string;
}

const isRemembered = (value: unknown): value is Remembered =>
  isRecord(value) &&
  (value["where"] === "tab" || value["where"] === "server") &&
  typeof value["model"] === "string" &&
  ["undefined", "string"].includes(typeof value["kv"]) &&
  ["undefined", "string"].includes(typeof value["url"]) &&
  [undefined, "auto", "webgpu", "wasm"].includes(value["backend"] as BackendChoice | undefined) &&
  [undefined, ...WEIGHT_CHOICES].includes(value["weights"] as WeightChoice | undefined);

export function rememberChoice(choice: EngineChoice): void {
  if (choice.where === "server") {
    save("engine", { where: "server", model: choice.model, url: choice.address.url });
    return;
  }
  const { model, kv, backend, weights } = choice;
  if (model.kind === "folder") return;
  const name = model.kind === "url" ? model.ref : model.name;
  save("engine", { where: "tab", model: name, isUrl: model.kind === "url", kv, backend, weights });
}

/**
 * The engine of the last visit if it is still available. On a first visit: the first embedded model, in this tab, where all that the page
 * shows can be tried; where there is none, the model of the server that the page comes from. null when there is none.
 */
export async function firstChoice(models: readonly EmbeddedModel[]): Promise<EngineChoice | null> {
  const last = readSaved("engine", isRemembered);
  if (!last && models.length === 0) return ownServerChoice();
  if (last?.where === "server") return { where: "server", model: last.model, address: { url: last.url ?? "" } };
  const settings = {
    kv: last?.kv ?? DEFAULT_KV,
    backend: last?.backend ?? "auto",
    weights: last?.weights ?? "auto",
  } as const;
  // What is not kept is not fetched unasked: it may be gigabytes.
  if (last?.isUrl && (await isKeptWhole(last.model)))
    return { where: "tab", model: { kind: "url", ref: last.model }, ...settings };
  const model = models.find(({ name }) => name === last?.model) ?? models[0];
  return model ? { where: "tab", model: { kind: "embedded", ...model }, ...settings } : null;
}

/** The first model of the server that the page comes from; null where the page has no such server. */
async function ownServerChoice(): Promise<ServerChoice | null> {
  const [model] = await listServerModels(OWN_SERVER).catch(() => []);
  return model ? { where: "server", model: model.id, address: OWN_SERVER } : null;
}

/** What lies beside the page. */
export interface Offered {
  /** Empty where only the models of a server are offered. */
  readonly models: readonly EmbeddedModel[];
  /** The model of the server that the page comes from; empty on a server of files. */
  readonly serverModel: string;
}

/** Reads checkpoints/index.json. `turboquant serve` names its model in a header of it, which spares a request that other servers would refuse. */
export async function listOffered(): Promise<Offered> {
  const response = await fetch(new URL("checkpoints/index.json", document.baseURI)).catch(() => null);
  const list: unknown = response?.ok ? await response.json().catch(() => null) : null;
  return {
    models: Array.isArray(list) ? (list as EmbeddedModel[]) : [],
    serverModel: decodeURIComponent(response?.headers.get("x-turboquant-model") ?? ""),
  };
}
