import {
  createCloser,
  type Duration,
  linkSignals,
  raceAbort,
  throwIfAborted,
  toMilliseconds,
  withDeadline,
} from "../../core/index.ts";
import type { Instance, InstanceChange, ServiceView, Stale, WatchServiceOptions } from "./contract.ts";
import { toPredicate } from "./filter.ts";
import type { Host } from "./host.ts";
import type { ServiceWatch } from "./service-watch.ts";

/** What one filter lets through of a service. */
export class View implements ServiceView {
  readonly #host: Host;
  readonly #watch: ServiceWatch;
  readonly #staleAfter: number;
  readonly #fits: ((instance: Instance) => boolean) | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #closing = new AbortController();
  readonly #onClose: () => void;
  readonly #onAbort = (): void => void this.close();
  #shown: { readonly all: readonly Instance[]; readonly fitting: readonly Instance[] } | undefined;
  readonly #closer = createCloser(async () => {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#closing.abort();
    this.#host.leave(this.#watch, this.#staleAfter);
    this.#onClose();
  }, "the view of the service");

  constructor(
    host: Host,
    service: string,
    options: WatchServiceOptions & { readonly staleAfter: number; readonly onClose: () => void },
  ) {
    this.#host = host;
    this.#staleAfter = options.staleAfter;
    this.#watch = host.enter(service, options.staleAfter);
    this.#fits = options.filter && toPredicate(options.filter);
    this.#signal = options.signal;
    this.#onClose = options.onClose;
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get service(): string {
    return this.#watch.service;
  }

  get instances(): readonly Instance[] {
    this.#closer.assertOpen();
    const { instances: all } = this.#watch;
    const fits = this.#fits;
    if (!fits) return all;
    if (this.#shown?.all !== all) this.#shown = { all, fitting: Object.freeze(all.filter(fits)) };
    return this.#shown.fitting;
  }

  get stale(): Stale | undefined {
    this.#closer.assertOpen();
    const { confirmed } = this.#watch;
    const forMs = this.#watch.now().monotonic - confirmed.monotonic;
    return forMs > this.#staleAfter ? { since: confirmed.wall, forMs } : undefined;
  }

  get(id: string): Instance | undefined {
    this.#closer.assertOpen();
    const instance = this.#watch.get(id);
    return instance && (!this.#fits || this.#fits(instance)) ? instance : undefined;
  }

  async ready(options: { readonly timeout?: Duration; readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#closer.assertOpen();
    const { timeout = Number.POSITIVE_INFINITY, signal } = options;
    using linked = linkSignals(signal, this.#closing.signal);
    using limit = withDeadline(this.#host.entries.root.runtime, {
      deadlineMs: toMilliseconds(timeout, "timeout", { min: 0, max: Number.POSITIVE_INFINITY }),
      signal: linked.signal,
      name: `instances of ${this.service}`,
    });
    try {
      await raceAbort(this.#watch.ready, limit.signal);
    } catch (error) {
      if (!signal?.aborted) this.#closer.assertOpen();
      throw error;
    }
  }

  async *changes(
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<readonly InstanceChange[], undefined> {
    this.#closer.assertOpen();
    using linked = linkSignals(options.signal, this.#closing.signal);
    let shown: ReadonlyMap<string, Instance> = new Map();
    let first = true;
    try {
      await raceAbort(this.#watch.ready, linked.signal);
      for (;;) {
        linked.signal.throwIfAborted();
        const now = new Map(this.instances.map((instance) => [instance.id, instance]));
        const changes = differences(shown, now);
        shown = now;
        if (first || changes.length > 0) yield changes;
        else await this.#change(linked.signal);
        first = false;
      }
    } catch (error) {
      throwIfAborted(options.signal);
      if (this.#closer.closed) return undefined;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const unlisten = this.#watch.listen(resolve);
    try {
      await raceAbort(promise, signal);
    } finally {
      unlisten();
    }
  }
}

/** What leads from one state to the other: who has left first, then the others in order. */
export function differences(
  before: ReadonlyMap<string, Instance>,
  now: ReadonlyMap<string, Instance>,
): readonly InstanceChange[] {
  const changes: InstanceChange[] = [];
  for (const [id, instance] of before) if (!now.has(id)) changes.push({ kind: "left", instance });
  for (const [id, instance] of now) {
    const earlier = before.get(id);
    if (!earlier) changes.push({ kind: "joined", instance });
    else if (earlier !== instance) changes.push({ kind: "changed", instance });
  }
  return changes;
}
