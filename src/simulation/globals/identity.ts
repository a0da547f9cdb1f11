import { AsyncLocalStorage } from "node:async_hooks";
import type { Incarnation } from "../incarnation.ts";
import type { Network } from "../network/network.ts";

/** What a process may use besides its runtime. */
export interface Surroundings {
  readonly network: Network;
  /** The addresses of all machines, by name. */
  readonly hosts: () => readonly string[];
}

/** Whose code is running: what the patched globals ask. */
export class Identity {
  readonly #storage = new AsyncLocalStorage<Incarnation>();
  readonly #surroundings = new WeakMap<Incarnation, Surroundings>();
  #outside: Incarnation | undefined;

  /** The process whose code is running; while a simulation runs, code of nobody's is the world's. `undefined`: no simulation runs. */
  get current(): Incarnation | undefined {
    return this.#outside && (this.#storage.getStore() ?? this.#outside);
  }

  /** What lives as long as the run does, for what machines share without knowing it. */
  get outside(): Incarnation | undefined {
    return this.#outside;
  }

  surroundingsOf(incarnation: Incarnation): Surroundings | undefined {
    return this.#surroundings.get(incarnation);
  }

  begin(outside: Incarnation): void {
    this.#outside = outside;
  }

  end(): void {
    this.#outside = undefined;
  }

  attach(incarnation: Incarnation, surroundings: Surroundings): void {
    this.#surroundings.set(incarnation, surroundings);
  }

  enter(incarnation: Incarnation, run: () => void): void {
    this.#storage.run(incarnation, run);
  }
}
