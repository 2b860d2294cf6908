/** @file Highlights code in the 37 commonest languages. Loaded with the first block of code. */
import { common, createLowlight } from "lowlight";

const lowlight = createLowlight(common);

/** null for a language that it does not know. */
export const highlight = (language: string, text: string): ReturnType<typeof lowlight.highlight> | null =>
  lowlight.registered(language) ? lowlight.highlight(language, text) : null;
