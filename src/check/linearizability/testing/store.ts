import type { Operation } from "../../history.ts";
import type { TestObject } from "./objects.ts";

/** A map of `keys` keys, to which every write brings a value of its own. */
export function testStore(keys: number): TestObject {
  const values = new Map<string | undefined, unknown>();
  let greatest = 0;
  return {
    request(dice) {
      const key = `k${dice.below(keys)}`;
      return dice.chance(0.6) ? { name: "get", key } : { name: "set", key, input: ++greatest };
    },
    run({ name, key, input }) {
      if (name === "get") return values.get(key) ?? null;
      values.set(key, input);
      return undefined;
    },
  };
}

/** The history with one late read that gives what another read of the same key gave long before. */
export function withStaleRead(history: readonly Operation[]): Operation[] {
  const from = Math.floor(history.length * 0.7);
  for (const [at, late] of history.entries()) {
    if (at < from || late.name !== "get" || late.outcome !== "ok") continue;
    const isOld = (early: Operation): boolean =>
      early.name === "get" && early.key === late.key && early.outcome === "ok" && early.output !== late.output;
    const early = history.find((each) => isOld(each) && each.returned < late.called - history.length / 2);
    if (early) return history.with(at, { ...late, output: early.output });
  }
  throw new Error("no read of this history can be made stale");
}
