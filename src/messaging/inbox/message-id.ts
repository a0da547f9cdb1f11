import { createHash } from "node:crypto";
import { invalidArgument } from "../../core/index.ts";
import type { MessageId } from "./contract.ts";

const longest = 4000;
/** What a key of the receipts holds. */
const longestKey = 500;

/** A text for the id that no other id has: kinds are told apart by their first letter; long ones stand as their hash. */
export function toKey(id: MessageId): string {
  // A source has no spaces if it is one; if it has, its length still tells where the id begins.
  const key = typeof id === "string" ? `m${checked(id, "id")}` : pairKey(id);
  if (key.length <= longestKey) return key;
  return `h${createHash("sha256").update(key).digest("base64url")}`;
}

/** For messages and listeners. */
export function nameOf(id: MessageId): string {
  return typeof id === "string" ? id : `${id.source} ${id.id}`;
}

function pairKey(given: Exclude<MessageId, string>): string {
  if (typeof given !== "object" || given === null)
    throw invalidArgument("id", given, "a text, or an object with source and id");
  const source = checked(given.source, "id.source");
  return `e${source.length} ${source} ${checked(given.id, "id.id")}`;
}

function checked(given: unknown, name: string): string {
  if (typeof given !== "string" || given.length === 0 || given.length > longest || !given.isWellFormed())
    throw invalidArgument(name, given, `a text of 1 to ${longest} characters without lone surrogates`);
  return given;
}
