/** @file `/slots`: save, restore or erase the conversation that a slot saw last. Requests and answers are llama.cpp's. */
import { isSafeFileName } from "../formats/safe-file-name.ts";
import { sha256Hex } from "../formats/sha256.ts";
import { ApiError } from "./api-error.ts";
import type { Call } from "./call.ts";
import { slotFileRequest } from "./request-schema.ts";
import type { SlotStore } from "./server-context.ts";

const OWNER_DIGITS = 16;

/** model: whose slots; absent: the first model's */
export function listSlots(call: Call, model: string | null): Response {
  call.useLoaded(model);
  const { owner } = call;
  const { llm, scheduler } = call.model;
  return Response.json(
    scheduler.slots.all.map(({ id, choice, entry, owner: own }) => {
      // How much others have said is theirs to know.
      const running = choice && (choice.request.options.owner ?? "") === owner ? choice.sequence : null;
      const sequence = running ?? (choice === null && own === owner && entry?.isLive ? entry.sequence : null);
      return {
        id,
        n_ctx: llm.runner.contextLength,
        is_processing: choice !== null,
        n_tokens: sequence?.length ?? 0,
        kv_bytes: sequence?.numBytes ?? 0,
      };
    }),
  );
}

const ACTIONS: Readonly<
  Record<string, (call: Call, id: number, model: string | null) => Response | Promise<Response>>
> = {
  save: saveSlot,
  restore: restoreSlot,
  erase: eraseSlot,
};

/** What `?action=` may say. */
export const SLOT_ACTIONS = Object.keys(ACTIONS);

/** query: `action`, and `model`, which a body may name as well */
export async function slotAction(call: Call, idText: string, query: URLSearchParams): Promise<Response> {
  const action = query.get("action");
  const id = /^\d+$/.test(idText) ? Number(idText) : Number.NaN;
  if (!Number.isSafeInteger(id)) {
    throw new ApiError(400, `slot: expected a number, got ${JSON.stringify(idText.slice(0, 40))}`, {
      code: "invalid_value",
    });
  }
  if (action !== null && Object.hasOwn(ACTIONS, action)) return await ACTIONS[action]!(call, id, query.get("model"));
  throw new ApiError(400, `action: expected ${SLOT_ACTIONS.join(", ")}, got ${JSON.stringify(action)}`, {
    code: "invalid_value",
    param: "action",
  });
}

function eraseSlot(call: Call, id: number, model: string | null): Response {
  call.useLoaded(model);
  return Response.json({ id_slot: id, n_erased: call.model.scheduler.slots.erase(id, call.owner) });
}

async function saveSlot(call: Call, id: number, ofQuery: string | null): Promise<Response> {
  const { store, name, filename, model = ofQuery } = await storeAndName(call);
  call.useLoaded(model);
  const started = performance.now();
  const saved = call.model.scheduler.slots.save(id, call.owner);
  if (!saved) {
    throw new ApiError(
      400,
      `slot ${id}: it has no conversation to save, or gave its pages up for others; send a request first`,
      {
        code: "empty_slot",
      },
    );
  }
  let written: number;
  try {
    written = await store.write(name, saved.parts);
  } finally {
    await saved.release();
  }
  return Response.json({
    id_slot: id,
    filename,
    n_saved: saved.tokens,
    n_written: written,
    timings: { save_ms: performance.now() - started },
  });
}

async function restoreSlot(call: Call, id: number, ofQuery: string | null): Promise<Response> {
  const { store, name, filename, model = ofQuery } = await storeAndName(call);
  await call.use(model);
  const started = performance.now();
  const bytes = await store.read(name);
  const restored = call.model.scheduler.slots.restore(id, bytes, call.owner);
  return Response.json({
    id_slot: id,
    filename,
    n_restored: restored,
    n_read: bytes.length,
    timings: { restore_ms: performance.now() - started },
  });
}

/** With several keys, each has names of its own in the folder. */
function ownName({ server, owner }: Call, name: string): string {
  if (server.apiKeys.length < 2) return name;
  return `${sha256Hex([new TextEncoder().encode(owner)]).slice(0, OWNER_DIGITS)}-${name}`;
}

/**
 * The store and the file name that a request means.
 * @throws ApiError 501 — saving is switched off; 400 — not a valid file name
 */
async function storeAndName(
  call: Call,
): Promise<{ store: SlotStore; name: string; filename: string; model: string | undefined }> {
  const { slotStore } = call.server;
  if (!slotStore) {
    throw new ApiError(501, "slots: saving is off; start the server with --slot-save-path DIRECTORY", {
      code: "slots_off",
    });
  }
  const { filename, model } = await call.body(slotFileRequest);
  if (!isSafeFileName(filename) || filename.includes("/") || filename.startsWith(".")) {
    throw new ApiError(400, "filename: expected a plain file name without folders", {
      code: "invalid_value",
      param: "filename",
    });
  }
  return { store: slotStore, name: ownName(call, filename), filename, model: model ?? undefined };
}
