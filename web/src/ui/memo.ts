/**
 * @file Components that are drawn again only when what they are given has changed.
 *
 * Preact's own is part of `preact/compat`, which also makes `onChange` of every text field fire with each keystroke, as React does: a format or a
 * number would be taken before it is typed to its end.
 */
import { Component, type ComponentChild, type ComponentType, h } from "preact";

function isShallowlyEqual<P extends object>(before: P, after: P): boolean {
  const names = Object.keys(before) as (keyof P)[];
  return (
    names.length === Object.keys(after).length &&
    names.every((name) => name in after && Object.is(before[name], after[name]))
  );
}

/** isEqual: whether nothing has changed that is drawn; left out, whether all props are the same */
export function memo<P extends object>(
  Drawn: ComponentType<P>,
  isEqual: (before: P, after: P) => boolean = isShallowlyEqual,
): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !isEqual(this.props as P, next);
    }

    override render(): ComponentChild {
      return h(Drawn, this.props as P);
    }
  };
}
