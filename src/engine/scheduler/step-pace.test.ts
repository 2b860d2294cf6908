import { describe, expect, it } from "vitest";
import { StepPace } from "./step-pace.ts";

const steps = (pace: StepPace, count: number, rows: number, decodeRows: number, ms: number): void => {
  for (let i = 0; i < count; i++) pace.onStep(rows, decodeRows, ms);
};

describe("StepPace", () => {
  it("begins with what suits the backend, and takes more where rows are cheap", () => {
    const pace = new StepPace(128);
    expect(pace.promptRows(64)).toBe(128);
    steps(pace, 50, 200, 64, 50); // 0.25 ms a row: 400 rows in 100 ms
    expect(pace.promptRows(64)).toBe(336);
    expect(pace.promptRows(0)).toBe(400);
  });

  it("stays between the backend's number and 512", () => {
    const pace = new StepPace(128);
    steps(pace, 50, 128, 0, 5000);
    expect(pace.promptRows(8)).toBe(128);
    steps(pace, 50, 128, 0, 1);
    expect(pace.promptRows(8)).toBe(512);
    expect(new StepPace(1024).promptRows(0)).toBe(1024);
  });

  it("forgets a slow start, and learns nothing from steps that only decode", () => {
    const pace = new StepPace(128);
    pace.onStep(128, 0, 1000);
    steps(pace, 30, 200, 64, 50);
    expect(pace.promptRows(64)).toBeGreaterThan(320);
    steps(pace, 30, 64, 64, 900);
    expect(pace.promptRows(64)).toBeGreaterThan(320);
  });

  it("keeps to a number that was asked for", () => {
    const pace = new StepPace(128, 64);
    steps(pace, 50, 128, 64, 1);
    expect(pace.promptRows(0)).toBe(64);
  });
});
