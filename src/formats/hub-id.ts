/** @file Recognises the names and addresses of models on the Hugging Face Hub. */

export interface HubId {
  /** `org/name` */
  readonly repo: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  /** What was asked for among GGUF files: a quantization such as `Q4_K_M`, or null. */
  readonly quant: string | null;
  /** The one GGUF file that was named, by its path in the repository, or null. */
  readonly file: string | null;
}

export const PUBLIC_HUB = "https://huggingface.co";

const HUB_ID = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@([\w][\w./-]*))?(?::([\w][\w.+/-]*))?$/;
/** Schemes and hosts that may stand before a name. */
const PREFIX = /^(?:hf:(?:\/\/)?|(?:https?:\/\/)?(?:www\.)?(?:huggingface\.co|hf\.co)\/)/i;
/** Kinds of repositories that are no models, and pages of the hub that look like names. */
const NO_MODELS = new Set(["datasets", "spaces", "docs", "api", "blog", "papers", "collections"]);

/**
 * `org/name`, with `@revision` and `:QUANT` or `:file.gguf` after it where they are given; the same after `hf:`, `hf.co/` or the
 * hub's address; and addresses of pages and files (`…/resolve/main/file.gguf`). Null for anything else: relative paths with a
 * leading dot are never names.
 *
 * endpoint: address of another hub, which is then understood as well
 */
export function parseHubId(ref: string, endpoint: string = PUBLIC_HUB): HubId | null {
  const mirror = `${endpoint.replace(/\/+$/, "")}/`;
  const isMirror = ref.toLowerCase().startsWith(mirror.toLowerCase());
  const rest = isMirror ? ref.slice(mirror.length) : ref.replace(PREFIX, "");
  if (rest === ref) return parseName(ref);
  const [path = ""] = rest.split(/[?#]/);
  const id = parseName(path.replace(/\/+$/, "")) ?? parseAddress(path);
  return id && NO_MODELS.has(id.repo.split("/")[0]!) ? null : id;
}

/** The shortest name that means the same. */
export function hubName({ repo, revision, quant, file }: HubId): string {
  const select = quant ?? file;
  return repo + (revision === "main" ? "" : `@${revision}`) + (select === null ? "" : `:${select}`);
}

const isGguf = (path: string): boolean => /\.gguf$/i.test(path);

function parseName(text: string): HubId | null {
  const match = HUB_ID.exec(text);
  if (!match) return null;
  const [, repo = "", revision = "main", select] = match;
  // Ollama names the default so.
  if (select === undefined || select === "latest") return { repo, revision, quant: null, file: null };
  if (isGguf(select)) return { repo, revision, quant: null, file: select };
  return select.includes("/") ? null : { repo, revision, quant: select, file: null };
}

/** `org/name/resolve/main/path`, as in the address of a file, its page, or a folder's page. */
function parseAddress(path: string): HubId | null {
  const match = /^([^/]+\/[^/]+)\/(?:resolve|blob|raw|tree)\/(refs\/(?:pr|convert)\/[^/]+|[^/]+)(?:\/(.*?))?\/*$/.exec(
    path,
  );
  if (!match) return null;
  let file: string;
  let name: HubId | null;
  try {
    file = decodeURIComponent(match[3] ?? "");
    name = parseName(`${match[1]}@${decodeURIComponent(match[2]!)}`);
  } catch {
    // A percent sign that begins no character.
    return null;
  }
  if (!name) return null;
  if (isGguf(file)) return { ...name, file };
  if (file === "" || /\.(safetensors|json)$/.test(file)) return name;
  const folder = file.slice(file.lastIndexOf("/") + 1);
  // GGUF repositories have folders of split files, one a quantization.
  return folder.includes(".") ? null : { ...name, quant: folder };
}
