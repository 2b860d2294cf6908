/** @file A word that can be asked what it means. The explanation opens beside it, and closes with Escape or a click elsewhere. */
import type { ComponentChildren } from "preact";
import { useId, useRef } from "preact/hooks";
import { TERMS, type TermName } from "./terms.ts";

/** Distance from the word and from the window's edges. */
const GAP_PX = 8;

interface TermProps {
  readonly name: TermName;
  /** Default: the name itself. */
  readonly children?: ComponentChildren;
}

export function Term({ name, children = name }: TermProps) {
  const id = useId();
  const word = useRef<HTMLButtonElement>(null);
  const place = (note: HTMLElement): void => {
    const at = word.current!.getBoundingClientRect();
    const { width, height } = note.getBoundingClientRect();
    const left = Math.max(GAP_PX, Math.min(at.left, innerWidth - width - GAP_PX));
    const below = at.bottom + GAP_PX;
    const top = below + height + GAP_PX <= innerHeight ? below : Math.max(GAP_PX, at.top - height - GAP_PX);
    note.style.left = `${left}px`;
    note.style.top = `${top}px`;
  };
  return (
    <>
      <button ref={word} type="button" class="term" popovertarget={id} title={TERMS[name]}>
        {children}
      </button>
      <span
        id={id}
        popover="auto"
        role="note"
        class="term-note"
        onToggle={(event) => {
          if (event.newState === "open") place(event.currentTarget);
        }}
      >
        {TERMS[name]}
      </span>
    </>
  );
}
