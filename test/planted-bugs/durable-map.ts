import type { SimulatedNode } from "../../src/simulation/index.ts";
import { recoverFile, replaceFile } from "./replace-file.ts";

/** A map in a file, small enough to be written as a whole. An error of the disk ends the process: what is in the file is found out on the way up. */
export class DurableMap<V> {
  readonly #disk: SimulatedNode["disk"];
  readonly #path: string;
  readonly #values: Map<string, V>;
  #writing: Promise<void> = Promise.resolve();

  private constructor(disk: SimulatedNode["disk"], path: string, values: Map<string, V>) {
    this.#disk = disk;
    this.#path = path;
    this.#values = values;
  }

  static async open<V>({ disk }: Pick<SimulatedNode, "disk">, path: string): Promise<DurableMap<V>> {
    const content = await recoverFile(disk, path);
    return new DurableMap<V>(disk, path, new Map(content === undefined ? [] : (JSON.parse(content) as [string, V][])));
  }

  /** What was set durably. */
  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  entries(): [string, V][] {
    return [...this.#values];
  }

  /** Resolves once the value is durable. Sets take effect in their order. */
  async set(key: string, value: V): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    // Nobody catches.
    this.#writing = this.#writing.then(async () => {
      const next = new Map(this.#values).set(key, value);
      await replaceFile(this.#disk, this.#path, JSON.stringify([...next]));
      this.#values.set(key, value);
      resolve();
    });
    await promise;
  }
}
