import type { Runtime } from "../core/index.ts";
import { type CallContext, execute, type Layer } from "./call.ts";
import type { ExecuteOptions, Operation, Policy, PolicyContext } from "./policy.ts";

/** How `compose` finds the layers of a policy. */
const layersOf = new WeakMap<object, readonly Layer[]>();

/** A policy over layers, outermost first. What the caller may see besides (a state, a switch) is given as `extras`. */
export function layered(layers: readonly Layer[], runtime: Runtime): Policy {
  const policy: Policy = {
    execute: (operation, options) => execute(layers, runtime, operation, options),
    wrap: (fn, options) => wrapped(layers, runtime, fn, options),
  };
  layersOf.set(policy, layers);
  return policy;
}

/** The same for an object that has members of its own: it gets `execute` and `wrap`. */
export function withLayer<E extends object>(layer: Layer, extras: E): Policy & E {
  const layers = [layer];
  const policy: Policy & E = Object.defineProperties(
    layered(layers, layer.runtime),
    Object.getOwnPropertyDescriptors(extras),
  ) as Policy & E;
  return policy;
}

/** The layers of a policy of ours; any other object with an `execute` becomes one layer. */
export function layersIn(policy: Policy<unknown>, runtime: Runtime): readonly Layer[] {
  return layersOf.get(policy) ?? [foreign(policy, runtime)];
}

function foreign(policy: Policy<unknown>, runtime: Runtime): Layer {
  return {
    runtime,
    run: async <T>(
      call: { proceed(depth: number, context: CallContext): Promise<T> },
      depth: number,
      context: CallContext,
    ) => (await policy.execute((inner) => call.proceed(depth, context.following(inner)), context)) as T,
  };
}

function wrapped<A extends unknown[], T>(
  layers: readonly Layer[],
  runtime: Runtime,
  fn: (context: PolicyContext, ...args: A) => T | PromiseLike<T>,
  options: ExecuteOptions | undefined,
): (...args: A) => Promise<T> {
  return (...args) => {
    const operation: Operation<T> = (context) => fn(context, ...args);
    return execute(layers, runtime, operation, options);
  };
}
