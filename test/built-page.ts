/** @file Builds the page once for all tests of a run that open it in a browser, unless TURBOQUANT_TEST_PAGE names the folder of one. */

import { findChromium } from "./support/optional.ts";
import { type BuiltApp, buildWebApp, PAGE_OF_RUN } from "./support/web-app.ts";

let app: BuiltApp | undefined;

export async function setup(): Promise<void> {
  if (!findChromium() || process.env[PAGE_OF_RUN] !== undefined) return;
  app = await buildWebApp();
  process.env[PAGE_OF_RUN] = app.folder;
}

export function teardown(): void {
  if (!app) return;
  delete process.env[PAGE_OF_RUN];
  app.dispose();
}
