import { CorruptionError, type Key, type KeyRange } from "../../core/index.ts";
import type { Revision } from "./contract.ts";

/**
 * | key, after the namespace and `"config"` | value |
 * |---|---|
 * | `[name, "current"]` | the present `Stored` |
 * | `[name, "history", version]` | the `Stored` of an earlier version: moved there by the commit that replaced it, deleted by a commit that finds it too old |
 *
 * Invariant: the versions in the history are consecutive and end right below the present one.
 */
export interface Stored extends Revision {
  /** Of the write; tells a commit whose answer was lost from another's. */
  readonly id: string;
}

export function currentKey(name: string): Key {
  return [name, "current"];
}

export function historyKey(name: string, version: number): Key {
  return [name, "history", version];
}

/** The earlier versions below this one. */
export function historyBelow(name: string, version: number): KeyRange {
  return { prefix: [name, "history"], end: historyKey(name, version) };
}

/** @throws CorruptionError something else has written under the key */
export function toStored(value: unknown, name: string): Stored {
  const { version, time } = (value ?? {}) as Partial<Stored>;
  if (Number.isSafeInteger(version) && typeof time === "number" && "value" in (value as object)) return value as Stored;
  throw new CorruptionError(
    `configuration ${JSON.stringify(name)}: what is stored was not written by \`set\`; remove the key, or set it anew`,
    { details: { name } },
  );
}
