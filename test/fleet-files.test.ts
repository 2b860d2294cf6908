/** @file The files of examples/fleet name options, paths and ports that there are, and say what docs/fleet.md says. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import "../src/node/install.ts";
import { routes } from "../src/server/routes.ts";
import { runCommand } from "./support/cli-io.ts";
import { skipReason } from "./support/optional.ts";
import { repoRoot } from "./support/shared.ts";

const read = (path: string): string => readFileSync(join(repoRoot, path), "utf8");
const dockerfile = read("examples/fleet/Dockerfile");
const compose = parse(read("examples/fleet/compose.yaml"), { merge: true });
const documents = parseAllDocuments(read("examples/fleet/kubernetes.yaml"));
const objects = documents.map((document) => document.toJS());
const [server, router] = objects
  .filter(({ kind }) => kind === "Deployment")
  .map(({ spec }) => ({ ...spec, container: spec.template.spec.containers[0], pod: spec.template.spec }));
const smg = process.env["SMG"] ?? "smg";
const smgSkip = skipReason("smg", spawnSync(smg, ["--help"]).status === 0, "pip install smg, or name it in SMG");

/** The words behind `ENTRYPOINT` of the image that a target of the Dockerfile is. */
const entrypoints = [...dockerfile.matchAll(/^FROM \S+ AS (\w+)[\s\S]*?^ENTRYPOINT (\[.*\])$/gm)].map(
  ([, name, words]) => ({
    name,
    words: JSON.parse(words!) as string[],
  }),
);
const optionsOf = (words: readonly string[]): string[] => words.filter((word) => word.startsWith("--"));
const argumentOf = (words: readonly string[], option: string): string | undefined => words[words.indexOf(option) + 1];
const serverWords: readonly string[][] = [
  entrypoints.find(({ words }) => words[0] === "turboquant")!.words,
  ...Object.values<{ command: string[] }>(compose.services)
    .slice(0, 2)
    .map(({ command }) => command),
  server.container.args,
];
const routerWords: readonly string[][] = [
  entrypoints.find(({ words }) => words[0] === "smg")!.words,
  compose.services.router.command,
  router.container.args,
];

describe("examples/fleet", () => {
  it("is read without a complaint, and has what the Dockerfile copies and names", () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
    expect(objects.every(({ apiVersion, kind, metadata }) => apiVersion && kind && metadata.name)).toBe(true);
    const targets = new Set([...dockerfile.matchAll(/^FROM \S+ AS (\w+)/gm)].map(([, name]) => name));
    for (const { build } of Object.values<{ build: { dockerfile: string; target: string } }>(compose.services)) {
      expect(existsSync(join(repoRoot, build.dockerfile))).toBe(true);
      expect(targets).toContain(build.target);
    }
  });

  it("servers are told options that `serve --help` explains", async () => {
    const { out } = await runCommand(["serve", "--help"]);
    for (const words of serverWords) {
      expect(optionsOf(words).length).toBeGreaterThan(1);
      for (const option of optionsOf(words)) expect(out).toMatch(new RegExp(`^ .*${option}(?![\\w-])`, "m"));
    }
  });

  it("servers are told all that docs/fleet.md tells them", () => {
    const [, line] = /^npx turboquant serve (.*) &$/m.exec(read("docs/fleet.md"))!;
    const words = line!.split(" ");
    const [, compose1, compose2, kubernetes] = serverWords;
    for (const own of [compose1!, compose2!, kubernetes!]) {
      for (const option of optionsOf(words).filter((option) => option !== "--port")) {
        expect(own).toContain(option);
        if (option !== "--slot-save-path") expect(argumentOf(own, option)).toBe(argumentOf(words, option));
      }
    }
  });

  it("probes ask routes that need no key, at a port of the container, and a server has time to end", async () => {
    const open = ["/health", ...routes.map(({ path }) => path)];
    for (const { container } of [server, router]) {
      const names = container.ports.map(({ name }: { name: string }) => name);
      for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"].flatMap(
        (name) => container[name] ?? [],
      )) {
        expect(open).toContain(probe.httpGet.path);
        expect(names).toContain(probe.httpGet.port);
      }
    }
    expect(
      [server.container.livenessProbe, server.container.readinessProbe].map((probe) => probe.httpGet.path),
    ).toEqual(["/health", "/ready"]);
    const { out } = await runCommand(["serve", "--help"]);
    const drain = Number(/--drain-timeout <s>[\s\S]*?\(default: (\d+)\)/.exec(out)![1]);
    expect(server.pod.terminationGracePeriodSeconds).toBeGreaterThan(drain);
    expect(Number.parseInt(compose.services.one.stop_grace_period, 10)).toBeGreaterThan(drain);
    expect(compose.services.one.healthcheck.test.at(-1)).toContain("http://127.0.0.1:8080/ready");
  });

  it("ports and labels agree", () => {
    const portsOf = (words: readonly string[]): string[] =>
      ["--kv-events", "--kv-events-replay"].map((option) => argumentOf(words, option)!.split(":").at(-1)!);
    const exposed = /^EXPOSE (8080 .*)$/m.exec(dockerfile)![1]!.split(" ");
    expect(exposed).toEqual(["8080", ...portsOf(serverWords[1]!)]);
    expect(server.container.ports.map(({ containerPort }: { containerPort: number }) => String(containerPort))).toEqual(
      exposed,
    );
    expect(portsOf(serverWords[3]!)).toEqual(exposed.slice(1));
    expect(argumentOf(router.container.args, "--service-discovery-port")).toBe("8080");
    const [label, name] = argumentOf(router.container.args, "--selector")!.split("=");
    expect(server.template.metadata.labels[label!]).toBe(name);
    for (const { kind, spec } of objects) {
      const selector =
        kind === "Service" ? spec.selector : kind === "NetworkPolicy" ? spec.podSelector.matchLabels : null;
      if (selector)
        expect([server, router].map(({ template }) => template.metadata.labels.app)).toContain(selector.app);
    }
    const account = objects.find(({ kind }) => kind === "ServiceAccount");
    expect(router.pod.serviceAccountName).toBe(account.metadata.name);
  });

  it.skipIf(smgSkip)("the router is told options that it has", () => {
    const help = spawnSync(smg, ["launch", "--help"], { encoding: "utf8" }).stdout;
    for (const words of routerWords) for (const option of optionsOf(words)) expect(help).toContain(`${option} `);
  });
});
