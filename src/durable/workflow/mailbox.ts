import type { Engine, Entry } from "../../engine/index.ts";
import type { Message } from "./layout.ts";

/** The messages of a run that nobody has asked for yet. */
export class Mailbox {
  readonly #engine: Engine;
  readonly #id: string;
  readonly #waiting: Map<string, Message>;
  /** Those whose taking is on its way into the history, or there. */
  readonly #taken = new Set<string>();
  /** There may be others. */
  #dirty = false;

  constructor(engine: Engine, id: string, messages: ReadonlyMap<string, Message>) {
    this.#engine = engine;
    this.#id = id;
    this.#waiting = new Map(messages);
  }

  get isDirty(): boolean {
    return this.#dirty;
  }

  /** Known, and not taken. */
  get size(): number {
    return this.#waiting.size;
  }

  poke(): void {
    this.#dirty = true;
  }

  async look(): Promise<void> {
    this.#dirty = false;
    try {
      for (const { key, value } of await this.list()) {
        const message = key[2] as string;
        if (!this.#taken.has(message)) this.#waiting.set(message, value);
      }
    } catch (error) {
      this.#dirty = true;
      throw error;
    }
  }

  list(): Promise<Entry<Message>[]> {
    return Array.fromAsync(this.#engine.kv.list<Message>({ prefix: ["signal", this.#id] }));
  }

  knows(message: string): boolean {
    return this.#waiting.has(message) || this.#taken.has(message);
  }

  /** In the order of their sending; those for which `take` is true are gone. */
  give(take: (message: string, content: Message) => boolean): void {
    if (this.#waiting.size === 0) return;
    for (const [message, content] of [...this.#waiting].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
      if (!take(message, content)) continue;
      this.#waiting.delete(message);
      this.#taken.add(message);
    }
  }
}
