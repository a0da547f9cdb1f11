import { invalidArgument } from "../core/index.ts";

export function checkInteger(name: string, value: number, min: number, max = 1_000_000): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalidArgument(name, value, `an integer from ${min} to ${max}`);
}

/** A part of a whole: more than 0, at most 1. */
export function checkRatio(name: string, value: number): number {
  if (value > 0 && value <= 1) return value;
  throw invalidArgument(name, value, "a number above 0, at most 1");
}

export function checkNumber(name: string, value: number, min: number, max: number): number {
  if (value >= min && value <= max) return value;
  throw invalidArgument(name, value, `a number from ${min} to ${max}`);
}

export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "function") throw invalidArgument(name, value, "a function");
}
