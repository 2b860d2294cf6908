/** @file The parts of a GGUF model that is split into several files, found by the name of one of them. */
import { TurboQuantError } from "../../errors.ts";
import type { FileSource } from "../file-source.ts";
import { type GgufHeader, readGgufHeader } from "./header.ts";

const PART = /^(.*)-(\d{5})-of-(\d{5})(\.[Gg][Gg][Uu][Ff])$/;

/** Name of the part that has the metadata: the first one, or the file itself where it is no part. */
export const firstPart = (file: string): string => file.replace(PART, "$1-00001-of-$3$4");

/**
 * Headers of all parts in order; of a file that is no part, itself.
 * @throws TurboQuantError invalid_file — a part is missing, or is of another model
 */
export async function splitParts(source: FileSource, header: GgufHeader): Promise<readonly GgufHeader[]> {
  const count = header.metadata.get("split.count") ?? 0;
  const [, base, , numParts, ending] = PART.exec(header.file) ?? [];
  // A file that says nothing of a split is whole, whatever its name.
  if (count === 0 || (count === 1 && base === undefined)) return [header];
  if (base === undefined) {
    throw split(
      source,
      `${header.file} is part of a split of ${count} files, but not named as one; keep the names the parts came with`,
    );
  }
  if (count !== Number(numParts)) {
    throw split(
      source,
      `${header.file}: split.count is ${count}, its name says ${Number(numParts)}; these parts are of different models, download them again`,
    );
  }
  const files = Array.from(
    { length: Number(numParts) },
    (_, i) => `${base}-${String(i + 1).padStart(5, "0")}-of-${numParts}${ending}`,
  );
  const parts: GgufHeader[] = [];
  for (const [number, file] of files.entries()) {
    if (!(await source.has(file)))
      throw split(source, `${file} is missing of a split of ${files.length} files; download it`);
    const part = file === header.file ? header : await readGgufHeader(source, file);
    const [no, own] = [part.metadata.get("split.no"), part.metadata.get("split.count")];
    if (no !== number || own !== count) {
      throw split(
        source,
        `${file}: expected part ${number} of ${count} (split.no, split.count), got ${no} of ${own}; download the parts of one model again`,
      );
    }
    parts.push(part);
  }
  const total = header.metadata.get("split.tensors.count");
  const got = parts.reduce((sum, { tensors }) => sum + tensors.length, 0);
  if (total !== undefined && total !== got) {
    throw split(
      source,
      `${header.file}: split.tensors.count: expected ${total} tensors in ${files.length} parts, got ${got}; these parts are of different models, download them again`,
    );
  }
  return parts;
}

const split = (source: FileSource, what: string): TurboQuantError =>
  new TurboQuantError("invalid_file", `${source.name}/${what}`);
