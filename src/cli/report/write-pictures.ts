/** @file Writes the figures of a report as files: SVG in both themes, and PNG where a renderer is installed. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { TurboQuantError } from "../../errors.ts";
import type { Figure } from "../../lab/report/figure.ts";
import { PALETTE, resolveColors, THEMES, type Theme } from "../../lab/report/palette.ts";
import { writeFileAtomically } from "../../node/write-file-atomically.ts";

/** Pixels of the PNG for each pixel of the figure. */
const PNG_SCALE = 2;

/** returns: the paths of the written files */
export async function writePictures(figures: readonly Figure[], directory: string, png: boolean): Promise<string[]> {
  const render = png ? await loadRenderer() : null;
  mkdirSync(directory, { recursive: true });
  const paths: string[] = [];
  const write = async (name: string, bytes: Uint8Array): Promise<void> => {
    const path = join(directory, name);
    await writeFileAtomically(path, bytes);
    paths.push(path);
  };
  for (const { id, svg } of figures) {
    for (const theme of THEMES) {
      const name = theme === "light" ? id : `${id}-${theme}`;
      const text = withBackground(resolveColors(svg, theme), theme);
      await write(`${name}.svg`, new TextEncoder().encode(`${text}\n`));
      if (render) await write(`${name}.png`, render(text));
    }
  }
  return paths;
}

/** Adds a background: a picture file does not know the colour of the page it will be shown on. */
function withBackground(svg: string, theme: Theme): string {
  return svg.replace(/(<svg[^>]*>)/, `$1<rect width="100%" height="100%" fill="${PALETTE["panel"]![theme]}"/>`);
}

async function loadRenderer(): Promise<(svg: string) => Uint8Array> {
  try {
    const { Resvg } = await import("@resvg/resvg-js");
    return (svg) =>
      new Resvg(svg, { fitTo: { mode: "zoom", value: PNG_SCALE }, font: { loadSystemFonts: true } }).render().asPng();
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      "report --png: @resvg/resvg-js is not installed; npm install @resvg/resvg-js, or leave --png out: SVG needs nothing",
      {},
      { cause },
    );
  }
}
