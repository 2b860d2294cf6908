/** @file Which memory of a backend each part of a model lies in. */

export interface Placement {
  /** Memory of each layer; from one layer to the next it stays or goes on by any number. The embedding lies in memory 0. */
  readonly layers: readonly number[];
  /** Memory of the final norm and the head: 0 when the head is tied to the embedding, otherwise at least that of the last layer. */
  readonly head: number;
}

export const inOneMemory = (numLayers: number): Placement => ({
  layers: Array.from({ length: numLayers }, () => 0),
  head: 0,
});

export const numMemories = ({ layers, head }: Placement): number => Math.max(head, layers.at(-1) ?? 0) + 1;
