import { createCloser, type Runtime } from "../core/index.ts";
import type { Driver } from "./driver.ts";
import { GroupCommit } from "./group-commit.ts";
import { Sweeper } from "./sweeper.ts";
import { Transactor } from "./transact.ts";
import { WatchHub } from "./watch-hub.ts";

/** What all namespaces of one open store share. */
export interface Root {
  readonly driver: Driver;
  readonly runtime: Runtime;
  readonly commits: GroupCommit;
  readonly hub: WatchHub;
  readonly transactor: Transactor;
  /** @throws ClosedError after `close` */
  assertOpen(): void;
  /** What blocks keep once for the whole store; disposed of, latest first, while the store still works. */
  readonly shared: Map<string, AsyncDisposable>;
  /** Registers something to be ended before the store closes. */
  onClose(end: () => Promise<void>): void;
  close(): Promise<void>;
}

export function createRoot(driver: Driver, runtime: Runtime): Root {
  const commits = new GroupCommit(driver, runtime);
  const sweeper = new Sweeper(driver, runtime, () => hub.watched);
  const hub = new WatchHub(driver, runtime, (ms) => sweeper.soon(ms));
  sweeper.start();
  const ends: (() => Promise<void>)[] = [];
  const shared = new Map<string, AsyncDisposable>();
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    while (shared.size > 0) {
      const held = [...shared.values()].reverse();
      shared.clear();
      for (const each of held) await each[Symbol.asyncDispose]();
    }
    await closer.close();
  };
  const closer = createCloser(async () => {
    await sweeper.close();
    await Promise.allSettled(ends.map((end) => end()));
    await commits.close();
    await hub.close();
    await driver.close();
  }, `the ${driver.name} engine`);
  return {
    driver,
    runtime,
    commits,
    hub,
    transactor: new Transactor(driver, runtime, commits),
    assertOpen: () => closer.assertOpen(),
    shared,
    onClose: (end) => {
      ends.push(end);
    },
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
