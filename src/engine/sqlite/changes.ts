import { toBinaryString } from "../../core/index.ts";
import type { Packer } from "./pack.ts";
import { Unpacker } from "./pack.ts";

/** What one flush changed: a row of `ashlar_changes`. */
export interface Changed {
  readonly key: Uint8Array;
  /** Of the commit that wrote or deleted it. */
  readonly revision: number;
}

/**
 * Number of keys, then for each its distance from the flush's last revision and the key; number of topics, then the topics.
 * @param last the revision of the flush's last commit: none of the keys has a later one
 */
export function packChanges(
  packer: Packer,
  last: number,
  keys: readonly Changed[],
  topics: readonly Uint8Array[],
): Uint8Array {
  packer.integer(keys.length);
  for (const { key, revision } of keys) packer.integer(last - revision).bytes(key);
  packer.integer(topics.length);
  for (const topic of topics) packer.bytes(topic);
  return packer.finish();
}

/** Collects the rows of several flushes, in their order: each key once, at its latest revision. */
export class ChangeCollector {
  readonly #wants: (key: Uint8Array) => boolean;
  readonly #keys = new Map<string, Changed>();
  readonly #topics = new Map<string, Uint8Array>();

  /** @param wants keys that it refuses are left out */
  constructor(wants: (key: Uint8Array) => boolean) {
    this.#wants = wants;
  }

  add(last: number, packed: Uint8Array): void {
    const row = new Unpacker(packed);
    for (let left = row.integer(); left > 0; left--) {
      const revision = last - row.integer();
      const key = row.bytes();
      if (this.#wants(key)) this.#keys.set(toBinaryString(key), { key, revision });
    }
    for (let left = row.integer(); left > 0; left--) {
      const topic = row.bytes();
      this.#topics.set(toBinaryString(topic), topic);
    }
  }

  /** In commit order. */
  keys(): Changed[] {
    return [...this.#keys.values()].sort((a, b) => a.revision - b.revision);
  }

  topics(): Uint8Array[] {
    return [...this.#topics.values()];
  }
}
