import { type ChildProcess, spawn } from "node:child_process";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

/** How long processes are killed at random: a few seconds, or as long as one likes. */
export function chaosSeconds(otherwise: number): number {
  return Number(process.env["ASHLAR_CHAOS_SECONDS"] ?? otherwise);
}

/** Processes of one module, which live no longer than their test. */
export class Mortals {
  readonly #test: TestContext;
  readonly #module: string;
  readonly #url: string;

  /** @param url of the store: their argument */
  constructor(test: TestContext, module: URL, url: string | undefined) {
    this.#test = test;
    this.#module = fileURLToPath(module);
    this.#url = url as string;
  }

  start(): ChildProcess {
    const child = spawn(process.execPath, [this.#module, this.#url], { stdio: ["ignore", "ignore", "inherit"] });
    this.#test.after(() => {
      child.kill("SIGKILL");
    });
    return child;
  }

  /**
   * Starts one after the other, and kills each.
   * @param end by `performance.now()`
   * @param life milliseconds: at least, and at most
   * @returns how many it has killed
   */
  async killAgainAndAgain(end: number, [least, most]: readonly [number, number]): Promise<number> {
    let kills = 0;
    while (performance.now() < end) {
      const child = this.start();
      const life = least + Math.random() * (most - least);
      await new Promise((resolve) => setTimeout(resolve, Math.min(life, end - performance.now() + 100)));
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await ended;
      kills++;
    }
    return kills;
  }
}
