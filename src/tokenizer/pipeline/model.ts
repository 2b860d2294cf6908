/** @file What turns a piece of text into tokens. */
import type { Vocabulary } from "./vocabulary.ts";

export interface Model {
  readonly vocabulary: Vocabulary;
  /** null: there are characters that it lacks, and no token for those. */
  encode(piece: string): readonly number[] | null;
}
