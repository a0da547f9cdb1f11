import { type Closer, createCloser, isAshlarError, linkSignals, sleep } from "../../core/index.ts";
import type { Change } from "../../engine/index.ts";
import type { StreamConsumer } from "./contract.ts";
import { type Group, keys, type Layout } from "./layout.ts";
import { LayoutMember } from "./layout-member.ts";
import { type Layouts, toLayouts } from "./layouts.ts";
import type { ConsumerParts } from "./partition-consumer.ts";

interface Membership<T> {
  readonly member: LayoutMember<T>;
  readonly leave: () => void;
  readonly left: Promise<void>;
}

/** A member of a group, in every layout of the stream. */
export class GroupConsumer<T> implements StreamConsumer {
  readonly group: string;
  readonly instance: string;
  readonly done: Promise<void>;
  readonly #parts: ConsumerParts<T>;
  /** By the first partition of the layout. */
  readonly #memberships = new Map<number, Membership<T>>();
  readonly #stopping = new AbortController();
  readonly #closer: Closer;
  #failure: { readonly error: unknown } | undefined;

  constructor(parts: ConsumerParts<T>) {
    const { settings } = parts;
    this.#parts = parts;
    this.group = parts.group;
    this.instance = settings.instance;
    this.#closer = createCloser(async () => {
      this.#stopping.abort(new DOMException("the consumer was closed", "AbortError"));
      await live.catch(() => {});
    }, `consumer ${settings.instance} of group ${parts.group}`);
    const live = this.#live();
    this.done = live;
    // Whoever wants to hear of the end asks for it.
    this.done.catch(() => {});
    const stop = (): void => void this.close();
    settings.signal?.addEventListener("abort", stop, { once: true });
    live.catch(() => {}).finally(() => settings.signal?.removeEventListener("abort", stop));
    if (settings.signal?.aborted) stop();
  }

  get owned(): ReadonlySet<number> {
    return new Set([...this.#memberships.values()].flatMap(({ member }) => member.owned));
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #live(): Promise<void> {
    const { engine } = this.#parts;
    const { signal } = this.#stopping;
    try {
      await this.#patiently(() => this.#enter());
      for await (const changes of engine.kv.watch<readonly Layout[]>({ key: keys.partitions }, { signal })) {
        const layouts = latest(changes);
        if (layouts) this.#follow(layouts);
      }
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    } finally {
      await Promise.all([...this.#memberships.values()].map(({ left }) => left));
    }
    if (this.#failure) throw this.#failure.error;
  }

  /** A group that is new begins where it says in what there is now; what is laid out later is all its. */
  async #enter(): Promise<void> {
    const { engine, book, group } = this.#parts;
    const { current } = await book.read();
    const { signal } = this.#stopping;
    await engine.transact(
      async (tx) => {
        if ((await tx.get<Group>(keys.group(group))) === undefined)
          tx.set(keys.group(group), { since: current[0] } satisfies Group);
      },
      { signal },
    );
  }

  async #patiently(attempt: () => Promise<void>): Promise<void> {
    const { runtime } = this.#parts.engine;
    const { signal } = this.#stopping;
    for (;;) {
      try {
        await attempt();
        return;
      } catch (error) {
        if (!isAshlarError(error) || !(error.retryable || error.code === "OUTCOME_UNKNOWN")) throw error;
      }
      await sleep(runtime, 50 + runtime.random.next() * 200, { signal, ref: false });
    }
  }

  #follow(layouts: Layouts): void {
    for (const layout of layouts.all)
      if (!this.#memberships.has(layout[0])) this.#memberships.set(layout[0], this.#join(layouts, layout));
    for (const [first, { leave }] of this.#memberships) if (!layouts.all.some((layout) => layout[0] === first)) leave();
  }

  #join(layouts: Layouts, layout: Layout): Membership<T> {
    const gone = new AbortController();
    const linked = linkSignals(this.#stopping.signal, gone.signal);
    const member = new LayoutMember(this.#parts, layouts, layout, (error) => this.#fail(error));
    const left = member
      .live(linked.signal)
      .catch((error) => this.#fail(error))
      .finally(() => {
        linked[Symbol.dispose]();
        if (this.#memberships.get(layout[0])?.member === member) this.#memberships.delete(layout[0]);
      });
    return { member, leave: () => gone.abort(new DOMException("the layout is no more", "AbortError")), left };
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stopping.abort(new DOMException("the consumer gave up", "AbortError"));
  }
}

function latest(changes: readonly Change<readonly Layout[]>[]): Layouts | undefined {
  const last = changes.at(-1);
  return last?.value === undefined ? undefined : toLayouts(last.value, last.version);
}
