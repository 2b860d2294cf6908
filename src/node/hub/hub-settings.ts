/** @file What the environment says of the Hugging Face Hub: the variables of its own tools, with their meanings. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { TurboQuantError } from "../../errors.ts";
import { PUBLIC_HUB } from "../../formats/hub-id.ts";

export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  /** The cache that the hub's tools share. */
  readonly cacheDir: string;
  readonly token: string | null;
  /** The hub is not to be asked. */
  readonly isOffline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or in `~/.cache/huggingface`. */
export function hubCacheDirectory(env: Environment = process.env): string {
  return filled(env["HF_HUB_CACHE"]) ?? filled(env["HUGGINGFACE_HUB_CACHE"]) ?? join(hubHome(env), "hub");
}

/** `HF_ENDPOINT`, or the public hub. @throws TurboQuantError invalid_argument — it is no address */
export function hubEndpoint(env: Environment = process.env): string {
  const endpoint = filled(env["HF_ENDPOINT"])?.replace(/\/+$/, "") ?? PUBLIC_HUB;
  if (/^https?:\/\/[^/]/i.test(endpoint) && URL.canParse(endpoint)) return endpoint;
  throw new TurboQuantError(
    "invalid_argument",
    `HF_ENDPOINT: expected an address such as ${PUBLIC_HUB}, got "${endpoint}"; correct or unset it`,
    { endpoint },
  );
}

/** @throws TurboQuantError invalid_argument — a variable has no value that makes sense */
export async function hubSettings(env: Environment = process.env): Promise<HubSettings> {
  return {
    endpoint: hubEndpoint(env),
    cacheDir: hubCacheDirectory(env),
    token: await hubToken(env),
    isOffline: isSet(env["HF_HUB_OFFLINE"]),
  };
}

function hubHome(env: Environment): string {
  return filled(env["HF_HOME"]) ?? join(filled(env["XDG_CACHE_HOME"]) ?? join(homedir(), ".cache"), "huggingface");
}

/** `HF_TOKEN`, or what `hf auth login` has saved. */
async function hubToken(env: Environment): Promise<string | null> {
  const given = filled(env["HF_TOKEN"]) ?? filled(env["HUGGING_FACE_HUB_TOKEN"]);
  const file = filled(env["HF_TOKEN_PATH"]) ?? join(hubHome(env), "token");
  const token = (given ?? (await readFile(file, "utf8").catch(() => ""))).trim();
  // A header cannot hold other characters; the token itself is not repeated in messages.
  if (/^[\x21-\x7e]*$/.test(token)) return token === "" ? null : token;
  throw new TurboQuantError(
    "invalid_argument",
    `${given === undefined ? file : "HF_TOKEN"}: expected a token in one word, which begins with hf_; correct or unset it`,
  );
}

const filled = (value: string | undefined): string | undefined => (value?.trim() ? value.trim() : undefined);

const isSet = (value: string | undefined): boolean =>
  value !== undefined && !["", "0", "false", "no", "off"].includes(value.toLowerCase());
