import { invalidArgument, type Runtime, refuseUnknown, systemRuntime } from "../core/index.ts";
import { Call, type CallContext, type Layer } from "./call.ts";
import { layersIn, withLayer } from "./layered.ts";
import { checkInteger } from "./option-checks.ts";
import type { Policy } from "./policy.ts";

export interface KeyedOptions {
  /** Keys whose policies are kept; that of the least recently used key is forgotten, with its state, for a new one. Default 1,000. */
  readonly maxKeys?: number;
  readonly runtime?: Runtime;
}

export interface Keyed<P> {
  /** The policy of a key, if it is kept. Looking does not count as a use. */
  get(key: string): P | undefined;
  readonly size: number;
}

/**
 * A policy of its own for each key of a call (`execute(fn, { key })`): a breaker for each host, a bulkhead for each tenant. A call without a key is refused as a mistake. Calls
 * under way keep a forgotten policy until they end; keep `maxKeys` above the number of keys in use.
 * @param make makes the policy of a key, with the same `runtime`
 * @throws InvalidArgumentError an option that is wrong or unknown
 */
export function keyed<P extends Policy>(make: (key: string) => P, options: KeyedOptions = {}): Policy & Keyed<P> {
  refuseUnknown(options, ["maxKeys", "runtime"]);
  if (typeof make !== "function") throw invalidArgument("make", make, "a function that makes a policy");
  const layer = new KeyedLayer(
    make,
    checkInteger("options.maxKeys", options.maxKeys ?? 1000, 1),
    options.runtime ?? systemRuntime,
  );
  return withLayer(layer, {
    get: (key: string) => layer.policies.get(key),
    get size() {
      return layer.policies.size;
    },
  });
}

class KeyedLayer<P extends Policy> implements Layer {
  readonly runtime: Runtime;
  /** Least recently used first. */
  readonly policies = new Map<string, P>();
  readonly #make: (key: string) => P;
  readonly #maxKeys: number;

  constructor(make: (key: string) => P, maxKeys: number, runtime: Runtime) {
    this.#make = make;
    this.#maxKeys = maxKeys;
    this.runtime = runtime;
  }

  async run<T>(call: Call<T>, depth: number, context: CallContext): Promise<T> {
    const { key } = context;
    if (key === undefined)
      throw invalidArgument("options.key", key, "a key, because the policy has a part that is `keyed`");
    const layers = layersIn(this.#use(key), this.runtime);
    if (layers.some(({ runtime }) => runtime !== this.runtime))
      throw invalidArgument("make", "a policy with another runtime", "policies with the runtime of `keyed`");
    return new Call((inner) => call.proceed(depth, inner as CallContext), layers).proceed(0, context);
  }

  #use(key: string): P {
    const policies = this.policies;
    let policy = policies.get(key);
    if (policy === undefined) {
      policy = this.#make(key);
      if (policies.size >= this.#maxKeys)
        for (const oldest of policies.keys()) {
          policies.delete(oldest);
          break;
        }
    } else policies.delete(key);
    policies.set(key, policy);
    return policy;
  }
}
