/** @file Finds the formats that no other one beats in both size and quality. */

/**
 * The items for which no other is smaller or equal in both numbers
 * and smaller in one, by ascending x. Of equal items the first stays.
 */
export function paretoFront<T>(items: readonly T[], x: (item: T) => number, y: (item: T) => number): T[] {
  const sorted = [...items].sort((a, b) => x(a) - x(b) || y(a) - y(b));
  const front: T[] = [];
  for (const item of sorted) {
    const last = front.at(-1);
    if (last === undefined || y(item) < y(last)) front.push(item);
  }
  return front;
}
