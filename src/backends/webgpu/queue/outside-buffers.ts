/** @file Buffers of others: what is wrong with one is said before or apart from the backend's own work, which it does not harm. */
import { TurboQuantError } from "../../../errors.ts";
import type { Buf } from "../../buffers.ts";
import type { GpuRange, GpuRows, OutsideBuffers } from "../../outside-buffers.ts";
import { BufferUsage } from "../device/gpu-flags.ts";
import type { GpuBuffer } from "./buffers.ts";
import type { Commands } from "./commands.ts";

/** Finds the device buffer behind a handle that an operation reads or writes. */
type Find = (buf: Buf, length: number, what: string) => GpuBuffer;

const asRange = (rows: GpuRows): GpuRange => ("buffer" in rows ? rows : { buffer: rows });

const isBuffer = (value: unknown): value is GPUBuffer =>
  typeof value === "object" && value !== null && "usage" in value && "size" in value && "mapAsync" in value;

const wrong = (message: string): TurboQuantError => new TurboQuantError("invalid_argument", message);

/** Bytes [offset, offset + size) of the buffer. */
function partOf(rows: GpuRows): { readonly raw: GPUBuffer; readonly offset: number; readonly size: number } {
  const { buffer: raw, offset = 0, size = raw.size - offset } = asRange(rows);
  return { raw, offset, size };
}

export class GpuOutsideBuffers implements OutsideBuffers {
  readonly #commands: Commands;
  readonly #read: Find;
  readonly #written: Find;

  constructor(commands: Commands, read: Find, written: Find) {
    this.#commands = commands;
    this.#read = read;
    this.#written = written;
  }

  get device(): GPUDevice {
    return this.#commands.context.device;
  }

  lengthOf(rows: GpuRows, isWritten: boolean, what: string): number {
    const given: unknown = typeof rows === "object" && rows !== null ? asRange(rows).buffer : rows;
    if (!isBuffer(given))
      throw wrong(`${what}: expected an array of numbers, a GPUBuffer, or { buffer, offset, size } with one`);
    const { raw, offset, size } = partOf(rows);
    const isWhole = [offset, size].every((bytes) => Number.isInteger(bytes) && bytes >= 0 && bytes % 4 === 0);
    if (!isWhole || offset + size > raw.size)
      throw wrong(
        `${what}: expected multiples of 4 as offset and size, within the buffer's ${raw.size} bytes, got offset ${offset} and size ${size}`,
      );
    const [flag, name] = isWritten ? [BufferUsage.copyDst, "COPY_DST"] : [BufferUsage.copySrc, "COPY_SRC"];
    if ((raw.usage & flag) === 0)
      throw wrong(`${what}: expected a buffer with the usage ${name}, got 0x${raw.usage.toString(16)}; add it`);
    if (raw.mapState !== "unmapped") throw wrong(`${what}: the buffer is mapped (${raw.mapState}); unmap it first`);
    return size / 4;
  }

  receive(from: GpuRows, to: Buf, start: number, what: string): Promise<void> {
    const { raw, offset, size } = partOf(from);
    const own = this.#written(to, start + size / 4, what);
    return this.#copied(
      this.#commands.copyApart(own, (encoder) => encoder.copyBufferToBuffer(raw, offset, own.raw, start * 4, size)),
      what,
    );
  }

  send(from: Buf, to: GpuRows, what: string): Promise<void> {
    const { raw, offset, size } = partOf(to);
    const own = this.#read(from, size / 4, what);
    return this.#copied(
      this.#commands.copyApart(own, (encoder) => encoder.copyBufferToBuffer(own.raw, 0, raw, offset, size)),
      what,
    );
  }

  async #copied(refusal: Promise<string | null>, what: string): Promise<void> {
    const why = await refusal;
    if (why === null) return;
    throw wrong(
      `${what}: the device refuses the buffer, which is destroyed or of another device; make it with the cache's device (${why})`,
    );
  }
}
