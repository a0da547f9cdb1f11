import type { Engine } from "../../../engine/index.ts";

/** The engine, but with `instead` asked first by one function of its keys; in scopes, too. */
export function meddledKv(engine: Engine, name: "get" | "list", instead: (...args: unknown[]) => unknown): Engine {
  const meddled = (kv: Engine["kv"]): Engine["kv"] => {
    const real = kv[name].bind(kv) as (...args: unknown[]) => unknown;
    return replaced(kv, { [name]: (...args: unknown[]) => instead(...args) ?? real(...args) });
  };
  const scope = (...parts: string[]): Engine => meddledKv(engine.scope(...parts), name, instead);
  return replaced(engine, { kv: meddled(engine.kv), scope });
}

function replaced<T extends object>(target: T, by: Readonly<Record<string, unknown>>): T {
  return new Proxy(target, {
    get(_, property) {
      if (typeof property === "string" && Object.hasOwn(by, property)) return by[property];
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
