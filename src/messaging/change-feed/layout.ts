import { createHash } from "node:crypto";
import { encodeKey, type Key, type KeyRange, toHex } from "../../core/index.ts";
import type { Engine, Topic } from "../../engine/index.ts";

/**
 * What a feed keeps, under `["change-feed", name]`:
 *
 * | key | value | |
 * |---|---|---|
 * | topic `["changes"]` | `Captured` | the feed |
 * | `["range"]` | bytes | the range that it was begun with, encoded |
 * | `["image", ...key]` | version | the version of each key that the feed has told last; absent: none, or its deletion |
 * | `["long", hash]` | `LongImage` | the same for keys that are too long for that |
 * | `["large", id]` | any | a value that does not fit into a record of the topic |
 * | `["position", name]` | offset | the next change of a follower |
 * | `["floor"]` | offset | changes below may be trimmed; no follower begins there |
 *
 * Invariant: image and feed change together: the image is what the latest changes of all keys say.
 */
export const keys = {
  range: ["range"] as Key,
  floor: ["floor"] as Key,
  large: (id: string): Key => ["large", id],
  position: (name: string): Key => ["position", name],
};

export const changesTopic: Topic = ["changes"];

/** Key, and its version and value; without version: it was deleted; without value: that lies under `large`. */
export interface Captured {
  readonly key: Key;
  readonly version?: string;
  readonly value?: unknown;
  readonly large?: string;
}

export interface LongImage {
  readonly key: Key;
  readonly version: string;
}

export function scopeOf(engine: Engine, name: string): Engine {
  return engine.scope("change-feed", name);
}

/** Where the versions told last are kept. */
export class ImageKeys {
  readonly #prefix: Uint8Array;
  readonly #longest: number;

  constructor(scope: Engine) {
    this.#prefix = encodeKey(scope.namespace);
    this.#longest = scope.limits.keyBytes;
  }

  of(key: Key): { readonly at: Key; readonly isLong: boolean } {
    const at: Key = ["image", ...key];
    const bytes = encodeKey(at, this.#prefix);
    if (bytes.length <= this.#longest) return { at, isLong: false };
    const hash = createHash("sha256").update(encodeKey(key)).digest();
    return { at: ["long", toHex(hash)], isLong: true };
  }
}

/** Where the image of a range lies. */
export function imageRange(range: KeyRange): KeyRange {
  const inImage = (key: Key): Key => ["image", ...key];
  if (range.key !== undefined) return { key: inImage(range.key) };
  const { prefix, start, after, end } = range;
  return {
    prefix: inImage(prefix ?? []),
    ...(start !== undefined && { start: inImage(start) }),
    ...(after !== undefined && { after: inImage(after) }),
    ...(end !== undefined && { end: inImage(end) }),
  };
}
