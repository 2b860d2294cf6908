/** @file A stretch of text on its way to tokens, and how pieces are cut. */
import type { Component } from "./component.ts";

export interface Piece {
  readonly text: string;
  /** Whether it begins where the whole text begins. */
  readonly isFirst: boolean;
}

/** Parts of a text in order, with those that a pattern matched marked. */
export type Part = readonly [text: string, isMatch: boolean];

export function partsByPattern(text: string, pattern: RegExp): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    if (isInsideCharacter(text, match.index)) continue;
    if (match.index > at) parts.push([text.slice(at, match.index), false]);
    if (match[0] !== "") parts.push([match[0], true]);
    at = match.index + match[0].length;
  }
  if (at < text.length) parts.push([text.slice(at), false]);
  return parts;
}

/** V8 finds empty matches after a lookbehind between the halves of a surrogate pair. */
function isInsideCharacter(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= 0xdc00 && unit < 0xe000 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800;
}

export type Behavior = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous";

const BEHAVIORS: readonly string[] = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

export function behaviorOf(component: Component, fallback: Behavior): Behavior {
  const value = component.text("behavior", fallback);
  const name = BEHAVIORS.find((known) => known.toLowerCase() === value.replaceAll("_", "").toLowerCase());
  if (!name) throw component.unsupported(`behavior ${value.slice(0, 40)}`);
  return name as Behavior;
}

/** What becomes of matches: pieces of their own, nothing, or a part of a neighbour. */
export function cut({ text, isFirst }: Piece, parts: readonly Part[], behavior: Behavior): Piece[] {
  let texts: string[];
  switch (behavior) {
    case "Isolated":
      texts = parts.map(([part]) => part);
      break;
    case "Removed": {
      const kept: Piece[] = [];
      let at = 0;
      for (const [part, isMatch] of parts) {
        if (!isMatch && part !== "") kept.push({ text: part, isFirst: isFirst && at === 0 });
        at += part.length;
      }
      return kept;
    }
    case "Contiguous":
      texts = joined(parts, (isMatch, wasMatch) => isMatch === wasMatch);
      break;
    case "MergedWithPrevious":
      texts = joined(parts, (isMatch, wasMatch) => isMatch && !wasMatch);
      break;
    default:
      texts = joined(parts, (isMatch, wasMatch) => wasMatch && !isMatch);
  }
  if (texts.length === 1 && texts[0] === text) return [{ text, isFirst }];
  return texts.filter((part) => part !== "").map((part, index) => ({ text: part, isFirst: isFirst && index === 0 }));
}

function joined(parts: readonly Part[], joins: (isMatch: boolean, wasMatch: boolean) => boolean): string[] {
  const texts: string[] = [];
  let previous: boolean | null = null;
  for (const [text, isMatch] of parts) {
    if (previous !== null && joins(isMatch, previous)) texts[texts.length - 1] += text;
    else texts.push(text);
    previous = isMatch;
  }
  return texts;
}
