/** @file `/models`: the models under their names, and where each of several is; loading and unloading one by hand, as llama.cpp has it. */
import type { Call } from "./call.ts";
import type { KnownModel, ListedModel, ModelContext, ModelStatus } from "./models.ts";
import type { ModelRequest } from "./request-schema.ts";

/** The server's start serves as a model's creation date, since files on disk have no better one. */
const started = Math.floor(Date.now() / 1000);

function modelObject({ name: id, model, known, status }: ListedModel) {
  return {
    id,
    object: "model",
    created: started,
    owned_by: "turboquant",
    ...(model ? loadedFields(model) : known && knownFields(known)),
    ...(status && { status: wireStatus(status) }),
  };
}

function loadedFields({ llm }: ModelContext) {
  const { config, decoder, runner } = llm;
  return {
    kv: decoder.kv.text,
    max_model_len: runner.contextLength,
    meta: {
      vocab_size: config.vocabSize,
      n_ctx: runner.contextLength,
      n_ctx_train: config.maxPositionEmbeddings,
      n_embd: config.hiddenSize,
      n_layer: config.numLayers,
      size: decoder.weightBytes,
      kv_cache: decoder.kv.text,
      backend: llm.ops.name,
    },
  };
}

/** The backend is not decided before a model is loaded. */
const knownFields = (known: KnownModel) => ({
  kv: known.kv,
  max_model_len: known.contextLength,
  meta: {
    vocab_size: known.vocabSize,
    n_ctx: known.contextLength,
    n_ctx_train: known.trainedContext,
    n_embd: known.hiddenSize,
    n_layer: known.numLayers,
    size: known.weightBytes,
    kv_cache: known.kv,
  },
});

/** llama.cpp's fields, with what is counted for a model of the memory, and why it could not be loaded. */
const wireStatus = ({ value, progress, error, memoryBytes }: ModelStatus) => ({
  value,
  ...(progress && {
    progress: { phase: progress.phase, done: progress.done, total: progress.total, unit: progress.unit },
  }),
  ...(error !== undefined && { failed: true, error }),
  ...(memoryBytes !== undefined && Number.isFinite(memoryBytes) && { memory: memoryBytes }),
});

export const listModels = ({ server: { models } }: Call): Response =>
  Response.json({ object: "list", data: models.names.map((name) => modelObject(models.listed(name))) });

export const showModel = (call: Call, id: string): Response =>
  Response.json(modelObject(call.server.models.listed(call.modelName(id))));

export async function loadModel(call: Call, { model }: ModelRequest): Promise<Response> {
  await call.use(model);
  return Response.json({ success: true });
}

export async function unloadModel(call: Call, { model }: ModelRequest): Promise<Response> {
  await call.server.models.unload(call.modelName(model), call.signal);
  return Response.json({ success: true });
}
