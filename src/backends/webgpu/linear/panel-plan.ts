/** @file How a matrix product from panels is cut: shares of the columns, and slices of the outputs whose panels fit their memory. */
import type { Load } from "../../planner.ts";
import type { GpuContext } from "../device/context.ts";
import type { GpuWeight } from "./gpu-weight.ts";
import { PANEL, PANEL_BYTES, PANEL_THREADS, TILE } from "./panel-text.ts";

/** The most bytes for the panels of a weight and for sums that are to be added up. */
export const WEIGHT_PANEL_BYTES = 256 << 20;
export const SUM_BYTES = 64 << 20;
export const SHARES = [1, 2, 4] as const;

/*
 * Times were measured on an H200 with 132 multiprocessors. Their unit is a step: one panel in every workgroup, with two
 * workgroups on each multiprocessor, 0.46 µs.
 */
/** Number of workgroups that run at the same time. */
const AT_ONCE = 264;
/** Time until the sums of such a wave are stored. */
const WAVE_STEPS = 22;
/**
 * Time of a step when so few workgroups run that each has a multiprocessor
 * to itself, and how much longer it takes when they are half of all.
 */
const ALONE = 0.47;
const ALONE_HALF = 0.35;
/** Further time until the sums of a whole tile are stored. */
const ALONE_STEPS = 2;
const STORE_STEPS = 8;
/**
 * Time of the dispatch that adds up, of a million sums beyond the number of results, and of a million sums read and results written.
 */
const JOIN_STEPS = 5;
const MILLION_MORE = 4;
const MILLION_JOINED = 3.8;

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** Lines in a panel: a multiple of the tile. */
export const panelLines = (lines: number): number => roundUp(lines, TILE);

/** Number of panels over all columns, an even number for each share. */
export const panelsOf = (cols: number, shares: number): number => roundUp(Math.ceil(cols / PANEL), 2 * shares);

export const panelBytes = (lines: number, panels: number): number => panelLines(lines) * panels * PANEL * 2;

export function canUsePanels({ features, limits, bindingBytes }: GpuContext, w: GpuWeight, rows: number): boolean {
  const mostPanels = panelsOf(w.cols, Math.max(...SHARES));
  return (
    features.matrices &&
    features.subgroupSize === 32 &&
    w.fitsHalf &&
    limits.maxComputeWorkgroupStorageSize >= PANEL_BYTES &&
    limits.maxComputeInvocationsPerWorkgroup >= PANEL_THREADS &&
    w.rows % PANEL === 0 &&
    w.chunks.every((chunk) => chunk.rows % PANEL === 0) &&
    panelBytes(rows, mostPanels) <= bindingBytes &&
    panelBytes(TILE, mostPanels) <= Math.min(bindingBytes, WEIGHT_PANEL_BYTES)
  );
}

/** The number of workgroups that share the columns of a tile, chosen so that product and adding up take the least time. */
export function sharesOf({ rows: outputs, cols }: Pick<GpuWeight, "rows" | "cols">, rows: number): number {
  const tiles = Math.ceil(rows / TILE) * Math.ceil(outputs / TILE);
  const cost = (shares: number): number => {
    const groups = tiles * shares;
    const steps = panelsOf(cols, shares) / shares;
    const more = ((panelLines(rows) * shares - rows) * outputs) / 1e6;
    const joined = (rows * outputs * (shares + 1)) / 1e6;
    const join = shares === 1 ? 0 : JOIN_STEPS + more * MILLION_MORE + joined * MILLION_JOINED;
    const filled = groups / (AT_ONCE / 2);
    const stored = shares === 1 ? rows / panelLines(rows) : 1;
    if (filled <= 1) return (ALONE + ALONE_HALF * filled) * steps + ALONE_STEPS + STORE_STEPS * stored + join;
    return Math.ceil(groups / AT_ONCE) * (steps + WAVE_STEPS) + join;
  };
  return SHARES.reduce<number>((best, shares) => (cost(shares) < cost(best) ? shares : best), 1);
}

/** Number of outputs whose panels and sums are made at a time: whole tiles, and if possible whole waves of workgroups. */
export function sliceOutputs(
  outputs: number,
  cols: number,
  rows: number,
  shares: number,
  bindingBytes: number,
): number {
  const ofPanels = Math.min(WEIGHT_PANEL_BYTES, bindingBytes) / panelBytes(TILE, panelsOf(cols, shares));
  const ofSums = Math.min(SUM_BYTES, bindingBytes) / (shares * panelLines(rows) * TILE * 4);
  const most = Math.max(1, Math.floor(Math.min(ofPanels, ofSums)));
  const tiles = Math.ceil(outputs / TILE);
  if (tiles <= most) return tiles * TILE;
  const wave = Math.floor(AT_ONCE / (shares * Math.ceil(rows / TILE)));
  const isWhole = wave >= 1 && wave <= most;
  return TILE * (isWhole ? Math.floor(most / wave) * wave : Math.ceil(tiles / Math.ceil(tiles / most)));
}

/** At least the bytes that panels and sums of these matrices take, for any number of rows up to `rows`. */
export function panelRoom(matrices: Load["matrices"], rows: number): number {
  const room = { x: 0, weight: 0, sums: 0 };
  const shares = Math.max(...SHARES);
  for (const { rows: outputs, cols } of matrices) {
    const panels = panelsOf(cols, shares);
    room.x = Math.max(room.x, panelBytes(rows, panels));
    room.weight = Math.max(room.weight, Math.min(WEIGHT_PANEL_BYTES, panelBytes(outputs, panels)));
    room.sums = Math.max(room.sums, Math.min(SUM_BYTES, shares * panelLines(rows) * panelLines(outputs) * 4));
  }
  return room.x + room.weight + room.sums;
}
