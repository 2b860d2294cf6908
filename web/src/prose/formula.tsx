/** @file A formula in TeX as MathML, which browsers set by themselves. The typesetter is loaded with the first formula. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { onDemand, useOnDemand } from "../ui/on-demand.ts";

const typesetter = onDemand(() => import("temml").then((module) => module.default));

export function Formula({ tex, isDisplay }: { readonly tex: string; readonly isDisplay: boolean }) {
  const temml = useOnDemand(typesetter);
  const place = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) return;
    if (temml)
      temml.render(tex, element, { displayMode: isDisplay, throwOnError: false, trust: false, maxExpand: 500 });
    else element.textContent = tex;
  }, [temml, tex, isDisplay]);
  return <span ref={place} dir="ltr" class={isDisplay ? "formula formula-display" : "formula"} />;
}
