/** @file Importing this file makes the Node platform the current one. */
import { setPlatform } from "../platform.ts";
import { nodePlatform } from "./platform.ts";

setPlatform(nodePlatform);
