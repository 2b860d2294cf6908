/** @file */
import type { Command } from "commander";
export function configure(_c: Command): void {}
