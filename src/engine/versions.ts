import { invalidArgument } from "../core/index.ts";
import type { Version } from "./contract.ts";

/** A revision as users see it: a string, so that nobody calculates with it and JSON and HTTP carry it unchanged. */
export function toVersion(revision: number): Version {
  return revision.toString(36) as Version;
}

/** @throws InvalidArgumentError the string is no version of ours */
export function toRevision(version: unknown, name: string): number {
  if (typeof version === "string" && /^[1-9a-z][0-9a-z]{0,10}$/.test(version)) {
    const revision = Number.parseInt(version, 36);
    if (Number.isSafeInteger(revision)) return revision;
  }
  throw invalidArgument(name, version, "a version as returned by a read or a commit, or undefined for absent");
}
