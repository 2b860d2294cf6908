/** @file What a host computes a job with: its own copy of the model, and the text. Or why it refuses the job. */
import { existsSync } from "node:fs";
import { basename, isAbsolute } from "node:path";
import type { Redis } from "ioredis";
import { backendOf } from "../../../backends/registry.ts";
import { createBackend } from "../../../engine/create-backend.ts";
import { sha256Hex } from "../../../formats/sha256.ts";
import { modelRef } from "../preflight.ts";
import type { SweepText, WorkerSetup } from "../task.ts";
import { differenceOf, modelIdentity } from "./model-identity.ts";
import { JOB_VERSION, type JobText, type SweepJob, textKey } from "./queue-job.ts";
import { KEY_PREFIX } from "./queue-place.ts";

export interface PreparedJob {
  /** Where the model is on this host. */
  readonly ref: string;
  readonly setup: WorkerSetup;
}

export interface HostOptions {
  /** This program, as `buildName` says it. */
  readonly build: string;
  /** Directory of models, looked into before anywhere else. */
  readonly models: string | undefined;
  /** Threads of a worker. */
  readonly threads: number;
  /** Digest of the model at a place; `modelIdentity` by default. */
  readonly identityOf?: (ref: string, signal: AbortSignal) => Promise<string>;
}

/** The model that a sweep of another host names: under its name in the directory, or as a path or a name of the hub. */
function placeOf(model: string, models: string | undefined): string {
  const place = modelRef(model, models);
  // A path of the other host may not exist here, but a folder of its name may.
  if (models === undefined || place !== model || !isAbsolute(model) || existsSync(model)) return place;
  return modelRef(basename(model), models);
}

/** Prepares jobs of any sweep on one host, and remembers the models and texts that it has found right. */
export class JobPreparation {
  readonly #options: HostOptions;
  /** By place; of those being read as well, so that slots that begin together read or download a model once. */
  readonly #identities = new Map<string, Promise<string>>();
  readonly #backends = new Set<string>();
  #text: { readonly sha256: string; readonly text: string } | null = null;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /**
   * returns: what to compute with, or the reason why this host refuses the job
   *
   * signal: of the host, because all who wait for a model wait for one reading of it
   */
  async prepare(job: SweepJob, server: Redis, signal: AbortSignal): Promise<PreparedJob | string> {
    const { build, models, threads } = this.#options;
    if (job.version !== JOB_VERSION || job.build !== build) {
      return `it is for turboquant ${job.build}, this is ${build}; install the same on all hosts`;
    }
    const { base, needle, backend, weights } = job.setup;
    const name = job.model.name;
    const ref = placeOf(name, models);
    const place = ref === name ? name : `${name} (${ref})`;
    const identity = this.#identities.get(ref) ?? (this.#options.identityOf ?? identityOf)(ref, signal);
    this.#identities.set(ref, identity);
    // The user may put the right model there, which the next job will find.
    const forget = (): void => {
      if (this.#identities.get(ref) === identity) this.#identities.delete(ref);
    };
    try {
      const difference = differenceOf(job.model.identity, await identity);
      if (difference !== null) {
        forget();
        return `model ${place} has ${difference} here; copy the same files`;
      }
    } catch (error) {
      forget();
      signal.throwIfAborted();
      return `model ${place} is not here: ${messageOf(error)}`;
    }
    try {
      await this.#checkBackend(backend);
    } catch (error) {
      return `backend ${backend} is not here: ${messageOf(error)}`;
    }
    const text = await this.#textOf(job.setup.text, server);
    if (text === null) return "its text is not on the queue's server any more; it comes back while its sweep runs";
    return { ref, setup: { base, needle, backend, weights, threads, text } };
  }

  /** What `auto` chooses is here; a backend that the sweep names may not be. */
  async #checkBackend(name: WorkerSetup["backend"]): Promise<void> {
    if (name === "auto" || this.#backends.has(name) || backendOf(name).runsOn === "cpu") return;
    await (await createBackend(name)).dispose();
    this.#backends.add(name);
  }

  async #textOf(text: JobText, server: Redis): Promise<SweepText | null> {
    if (text.kind === "own") return text;
    const { sha256, source } = text;
    if (this.#text?.sha256 !== sha256) {
      const fetched = await server.get(textKey(KEY_PREFIX, sha256));
      if (fetched === null || sha256Hex([new TextEncoder().encode(fetched)]) !== sha256) return null;
      this.#text = { sha256, text: fetched };
    }
    return { kind: "given", text: this.#text!.text, source };
  }
}

const identityOf = (ref: string, signal: AbortSignal): Promise<string> => modelIdentity(ref, { signal });
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
