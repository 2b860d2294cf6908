/** @file What the hub says of a repository: the commit of a revision, and its files with their hashes. */
import { TurboQuantError } from "../../errors.ts";
import { type HubId, hubName } from "../../formats/hub-id.ts";
import { isSafeFileName } from "../../formats/safe-file-name.ts";
import type { StoredFile } from "./choose-files.ts";
import { BrokenTransfer, HttpFailure, type HubClient, networkCode, troubleOf } from "./hub-client.ts";
import type { HubSettings } from "./hub-settings.ts";

export interface RemoteFile extends StoredFile {
  /** Name of the file's blob in the cache: SHA-256 of a large file's bytes, git's hash of a small one. */
  readonly hash: string;
  readonly algorithm: "sha256" | "git-sha1";
}

export interface Repository {
  readonly commit: string;
  readonly files: readonly RemoteFile[];
}

/** A page has a thousand files. */
const MAX_PAGES = 100;
const COMMIT = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;

type Json = Readonly<Record<string, unknown>>;

/** @throws TurboQuantError invalid_argument — no such model or no access; invalid_file — the hub cannot be asked */
export async function readRepository(client: HubClient, settings: HubSettings, id: HubId): Promise<Repository> {
  const api = `${settings.endpoint}/api/models/${id.repo}`;
  try {
    const { value } = await client.json(`${api}/revision/${encodeURIComponent(id.revision)}`);
    const commit = (value as Json | null)?.["sha"];
    if (typeof commit !== "string" || !COMMIT.test(commit)) throw notAHub(settings);
    const files: RemoteFile[] = [];
    let url: string | null = `${api}/tree/${commit}?recursive=true`;
    for (let page = 0; url !== null && page < MAX_PAGES; page++) {
      const { value: entries, headers }: { value: unknown; headers: Headers } = await client.json(url);
      if (!Array.isArray(entries)) throw notAHub(settings);
      files.push(...entries.flatMap((entry) => remoteFile(entry) ?? []));
      url = nextPage(headers, url);
    }
    return { commit, files };
  } catch (error) {
    throw hubError(error, id, settings);
  }
}

/** Address of a file's bytes. */
export const fileUrl = ({ endpoint }: HubSettings, repo: string, commit: string, path: string): string =>
  `${endpoint}/${repo}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;

function remoteFile(entry: unknown): RemoteFile | null {
  if (typeof entry !== "object" || entry === null) return null;
  const { type, path, size, oid, lfs } = entry as Json;
  if (type !== "file" || typeof path !== "string" || !isSafeFileName(path)) return null;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return null;
  const large = (lfs as Json | null | undefined)?.["oid"];
  if (typeof large === "string" && SHA256.test(large)) return { path, size, hash: large, algorithm: "sha256" };
  return typeof oid === "string" && COMMIT.test(oid) ? { path, size, hash: oid, algorithm: "git-sha1" } : null;
}

/** The address in a `Link` header of `rel="next"`, where it is of the same host: the token goes along. */
function nextPage(headers: Headers, from: string): string | null {
  const link = /<([^>]+)>\s*;\s*rel="next"/.exec(headers.get("link") ?? "")?.[1];
  if (!link || !URL.canParse(link, from)) return null;
  const next = new URL(link, from);
  return next.origin === new URL(from).origin ? next.href : null;
}

/** Any failure of a request in the words of this program; errors that are none of the hub's come back as they are. */
export function hubError(error: unknown, id: HubId, settings: HubSettings): unknown {
  const name = hubName(id);
  if (error instanceof TurboQuantError) return error;
  const status = error instanceof HttpFailure ? error.status : null;
  if (error instanceof HttpFailure && [401, 403, 404].includes(error.status)) {
    return new TurboQuantError(
      "invalid_argument",
      `hub: ${name}: ${noAccess(error, id, settings)} (HTTP ${error.status})`,
      { id: name, status },
      { cause: error },
    );
  }
  if (status === null && networkCode(error) === null && !(error instanceof BrokenTransfer)) {
    return error;
  }
  return new TurboQuantError(
    "invalid_file",
    `hub: ${name} is not on this machine, and the hub ${troubleOf(error)}: ${settings.endpoint}; try again, or get the files elsewhere and pass their path`,
    { id: name, ...(status !== null && { status }) },
    { cause: error },
  );
}

function noAccess({ code, status }: HttpFailure, { repo, revision }: HubId, { endpoint, token }: HubSettings): string {
  if (code === "GatedRepo") {
    const next = token === null ? "and set HF_TOKEN" : "with the account of your token";
    return `its licence has to be accepted; do so at ${endpoint}/${repo} ${next}`;
  }
  if (code === "RevisionNotFound") return `there is no revision ${revision}; see ${endpoint}/${repo}/commits/main`;
  if (status === 401 && token !== null) {
    return "no such model, or the hub does not know the token; check the name and HF_TOKEN";
  }
  const hint = token === null ? "set HF_TOKEN if it is a private one" : "check that your token may read it";
  return `no such file or directory here, and no such model on the hub; check the name, and ${hint}`;
}

const notAHub = ({ endpoint }: HubSettings): TurboQuantError =>
  new TurboQuantError("invalid_file", `hub: ${endpoint} does not answer as a hub does; check HF_ENDPOINT`, {
    endpoint,
  });
