/** @file Calibrations that are made when a model is loaded: where they lie, what is said, and what stands against them. */
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import "../node/install.ts";
import { randomCalibration } from "../../test/support/calibration.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { HubServer } from "../../test/support/hub-server.ts";
import { LLM } from "../engine/llm.ts";
import type { LoadOptions } from "../engine/load-options.ts";
import { MemorySource } from "../formats/memory-source.ts";
import { CALIBRATION_FILE, calibratedShape, writeCalibration } from "../models/calibration-file.ts";

const home = mkdtempSync(join(tmpdir(), "automatic-calibration-"));
let models = 0;

beforeAll(() => vi.stubEnv("HF_HUB_CACHE", join(home, "cache")));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.stubEnv("HF_HUB_CACHE", join(home, "cache"));
});
afterAll(() => rmSync(home, { recursive: true }));

function newModel(fields: object = {}): string {
  const folder = join(home, `model-${models++}`);
  // What is kept in the cache is found by weights and config, so each model has another theta.
  writeRandomCheckpoint(folder, { num_hidden_layers: 2, rope_theta: 10_000 + models, ...fields });
  return folder;
}

const inMemory = (folder: string): MemorySource =>
  new MemorySource(
    Object.fromEntries(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))])),
    "m",
  );

async function load(ref: string | MemorySource, options: LoadOptions = {}) {
  await using llm = await LLM.load(ref, { backend: "wasm", threads: 1, contextLength: 64, ...options });
  return { notes: llm.notes, isCalibrated: llm.fingerprint.includes("+calibration:"), llm };
}

const run = (folder: string, kv: string) =>
  runCommand(["run", "-m", folder, "-t", "1", "--raw", "--kv", kv, "-n", "1", "--backend", "wasm", "a"]);

it("calibration=auto makes one at the first load, in one line, beside the model; later loads have it", async () => {
  const folder = newModel();
  const first = await run(folder, "k4v4,calibration=auto");
  const path = join(folder, CALIBRATION_FILE);
  expect(first.err).toMatch(
    /^calibration: made for this model in \S+ s from 1,024 tokens, kept in \S+; without: calibration=off$/m,
  );
  expect(first.err).toContain(`kept in ${path};`);
  expect(first.code).toBe(0);
  const header = readFileSync(path, "latin1");
  expect(header).toContain('"positions":"4096"');
  expect(header).toContain("Alice's Adventures in Wonderland");
  expect((await run(folder, "k4v4,calibration=auto")).err).not.toContain("calibration:");
  expect(await load(folder)).toMatchObject({ notes: [], isCalibrated: true });
  expect(await load(folder, { calibration: "off" })).toMatchObject({ isCalibrated: false });
});

it("commands make one by themselves, unless the environment or the format says off", async () => {
  const folder = newModel();
  await run(folder, "k4v4");
  expect(existsSync(join(folder, CALIBRATION_FILE)), "TURBOQUANT_CALIBRATION=off").toBe(false);
  vi.stubEnv("TURBOQUANT_CALIBRATION", undefined);
  for (const kv of ["k4v4,calibration=off", "f16", "paper-4"])
    expect((await run(folder, kv)).err).not.toContain("none was made");
  expect(existsSync(join(folder, CALIBRATION_FILE))).toBe(false);
  expect((await run(folder, "k4v4")).err).toContain("calibration: made");
  expect(existsSync(join(folder, CALIBRATION_FILE))).toBe(true);
});

it("where the folder cannot be written it lies in the cache, and without that it holds for the load", async () => {
  const folder = newModel();
  chmodSync(folder, 0o555);
  const made = await load(folder, { calibration: "auto" });
  const [kept] = readdirSync(join(home, "cache/turboquant"));
  expect(made).toMatchObject({ isCalibrated: true });
  expect(made.notes[0]).toContain(`kept in ${join(home, "cache/turboquant", kept!)}`);
  expect(await load(folder)).toMatchObject({ notes: [], isCalibrated: true });
  // Of a source that is no folder, by the same weights.
  expect(await load(inMemory(folder))).toMatchObject({ isCalibrated: true });
  writeFileSync(join(home, "file"), "");
  vi.stubEnv("HF_HUB_CACHE", join(home, "file"));
  const lost = await load(inMemory(folder), { calibration: "auto" });
  chmodSync(folder, 0o755);
  expect(lost.isCalibrated).toBe(true);
  expect(lost.notes[0]).toMatch(/, and not kept \(calibration: it can be written neither .*ENOTDIR\)/);
});

it("none is made where it would take too long or cannot be, which is said", async () => {
  const folder = newModel();
  const slow = await load(folder, { calibration: "auto", calibrationSeconds: 0.001 });
  expect(slow).toMatchObject({ isCalibrated: false });
  expect(slow.notes[0]).toMatch(
    /^calibration: none was made: it would take about \S+ s, more than 0.001; turboquant calibrate makes one$/,
  );
  const widths = { kv_lora_rank: 32, q_lora_rank: 16, qk_nope_head_dim: 16, qk_rope_head_dim: 8, v_head_dim: 16 };
  const latent = newModel({ model_type: "minicpm3", num_hidden_layers: 1, num_key_value_heads: undefined, ...widths });
  const none = await load(latent, { calibration: "auto" });
  expect(none.notes[0]).toBe("calibration: none was made: latent attention has no keys and values of heads");
});

it("a context shorter than the text is read in pieces; shorter than the window too", async () => {
  const folder = newModel({ max_position_embeddings: 100 });
  const { isCalibrated, notes } = await load(folder, { calibration: "auto" });
  expect(isCalibrated).toBe(true);
  expect(notes[0]).toContain("1,024 tokens");
});

it("a calibration that is damaged or of another model is one error, one for shorter contexts one note", async () => {
  const folder = newModel();
  await using plain = await LLM.load(folder, { backend: "wasm", threads: 1, contextLength: 64 });
  const { config, weightsFingerprint } = plain;
  const layers = Array.from({ length: config.numLayers }, (_, i) => randomCalibration(config.numKvHeads, 64, i));
  const path = join(folder, CALIBRATION_FILE);
  const bytes = writeCalibration(layers, calibratedShape(config), weightsFingerprint, { positions: "32" });
  writeFileSync(path, bytes);
  const { notes } = await load(folder);
  expect(notes).toEqual([
    `calibration: ${folder}/${CALIBRATION_FILE} was made for 32 positions, and the context has 64; turboquant calibrate --force makes one for all`,
  ]);
  // The lowest bit of a mean: still a value that could be.
  const damaged = bytes.slice();
  const header = new DataView(bytes.buffer).getUint32(0, true);
  damaged[8 + header] = damaged[8 + header]! ^ 1;
  writeFileSync(path, damaged);
  await expect(load(folder)).rejects.toThrow(
    /kv_calibration.safetensors: the checksum is crc32c:\w{8}, and the file says crc32c:\w{8}: it is damaged; run turboquant calibrate --force, or pass calibration=off/,
  );
  writeFileSync(path, writeCalibration(layers, calibratedShape(config), "another"));
  await expect(load(folder, { calibration: "auto" })).rejects.toThrow("made for another model");
});

it("--out and calibration= mean the same path", async () => {
  const folder = newModel();
  const out = join(home, "own.safetensors");
  const made = await runCommand(["calibrate", "--quiet", "-t", "1", "-m", folder, "--out", out]);
  expect([made.code, made.err]).toEqual([0, ""]);
  expect(made.out).toContain(`to use it: --kv k4v4,calibration=${out}\n`);
  expect(statSync(out).size).toBeGreaterThan(1000);
  expect(await load(folder)).toMatchObject({ isCalibrated: false });
  expect(await load(folder, { kv: `k4v4,calibration=${out}` })).toMatchObject({ isCalibrated: true });
  expect(await load(folder, { calibration: out })).toMatchObject({ isCalibrated: true });
  await expect(load(folder, { calibration: join(home, "none.safetensors") })).rejects.toThrow(
    /there is no file .*none.safetensors, and .* is not in/,
  );
});

it("others take one from the hub by its name", async () => {
  const hub = await HubServer.start();
  const folder = newModel();
  const out = join(home, basename(folder), "shared.safetensors");
  await runCommand(["calibrate", "--quiet", "-t", "1", "-m", folder, "--out", out]);
  hub.repos.set("me/calibrated", { files: { [CALIBRATION_FILE]: readFileSync(out) } });
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  try {
    expect(await load(folder, { calibration: "me/calibrated" })).toMatchObject({ isCalibrated: true });
    const refused = await runCommand(["calibrate", "-m", folder, "--share"]);
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("--share is for models of the hub")]);
  } finally {
    await hub.close();
  }
});
