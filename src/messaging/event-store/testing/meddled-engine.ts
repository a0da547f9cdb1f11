import type { Key } from "../../../core/index.ts";
import type { Batch, Committed, Engine, Refused } from "../../../engine/index.ts";

/** What happens to a commit: `pass` sends it on. */
export type Meddle = (batch: Batch, pass: () => Promise<Committed | Refused>) => Promise<Committed | Refused>;

/** The engine, with somebody between it and the commits that may be refused, and between it and the bounds of topics. */
export function meddledEngine(engine: Engine, meddle: Meddle, beforeBounds: () => void): Engine {
  const kv = replacing(engine.kv, {
    tryCommit: (batch: Batch, options?: object) => meddle(batch, () => engine.kv.tryCommit(batch, options)),
  });
  const log = replacing(engine.log, {
    bounds: async (...given: Parameters<Engine["log"]["bounds"]>) => {
      beforeBounds();
      return await engine.log.bounds(...given);
    },
  });
  return replacing(engine, {
    kv,
    log,
    scope: (...parts: Key) => meddledEngine(engine.scope(...parts), meddle, beforeBounds),
  });
}

function replacing<T extends object>(target: T, replaced: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      if (name in replaced) return replaced[name as keyof T];
      const value = target[name as keyof T];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
