/** @file A block of code with its language, a button that copies it, and colours once the highlighter is loaded. */
import { type ComponentChildren, Fragment } from "preact";
import { useMemo } from "preact/hooks";
import { CopyButton } from "../ui/copy-button.tsx";
import { onDemand, useOnDemand } from "../ui/on-demand.ts";

const highlighter = onDemand(() => import("./highlighter.ts").then(({ highlight }) => ({ highlight })));
type Highlighted = NonNullable<ReturnType<typeof import("./highlighter.ts").highlight>>;

/** Longer code is shown without colours, which would take longer than reading it. */
const MOST_CHARACTERS = 50_000;

interface CodeBlockProps {
  readonly text: string;
  /** As written behind the fence; empty without. */
  readonly language: string;
}

export function CodeBlock({ text, language }: CodeBlockProps) {
  const loaded = useOnDemand(highlighter, language !== "");
  const tree = useMemo(
    () => (loaded && language && text.length <= MOST_CHARACTERS ? loaded.highlight(language, text) : null),
    [loaded, language, text],
  );
  return (
    <figure class="code" dir="ltr">
      <figcaption class="code-head">
        <span>{language}</span>
        <CopyButton text={text} label="Copy code" />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, and keys must be able to */}
      <pre tabIndex={0}>
        <code>{tree ? nodesOf(tree.children) : text}</code>
      </pre>
    </figure>
  );
}

/** The highlighter gives a tree and no HTML. */
function nodesOf(children: Highlighted["children"]): ComponentChildren[] {
  return children.map((node, i) => {
    if (node.type === "text") return <Fragment key={i}>{node.value}</Fragment>;
    if (node.type !== "element") return null;
    const names = node.properties["className"];
    return (
      <span key={i} class={Array.isArray(names) ? names.join(" ") : undefined}>
        {nodesOf(node.children as Highlighted["children"])}
      </span>
    );
  });
}
