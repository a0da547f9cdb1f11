import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { storeKinds } from "../../../test/stores.ts";
import { createRegistry, type ServiceView } from "./index.ts";

const ttl = 1500;

async function start(url: string, id: string): Promise<ChildProcess> {
  const child = fork(new URL("./testing/server-process.ts", import.meta.url), [url, id, String(ttl)], { execArgv: [] });
  const [message] = await once(child, "message", { signal: AbortSignal.timeout(30_000) });
  assert.equal(message, "registered");
  return child;
}

/** Resolves with the milliseconds after which all of the views show these. */
async function allShow(views: readonly ServiceView[], expected: readonly string[]): Promise<number> {
  const from = performance.now();
  const wanted = expected.join();
  const shows = (view: ServiceView): boolean => view.instances.map(({ id }) => id).join() === wanted;
  await Promise.all(
    views.map(async (view) => {
      for await (const _ of view.changes({ signal: AbortSignal.timeout(20_000) })) if (shows(view)) return;
    }),
  );
  return performance.now() - from;
}

for (const { name, skip, create } of storeKinds) {
  if (name === "memory") continue;
  test(`processes that are killed or stopped vanish from views, and who wakes comes back (${name})`, {
    skip,
  }, async () => {
    await using store = await create();
    const url = store.url as string;
    await using one = createRegistry(await store.open());
    await using other = createRegistry(await store.open());
    const views = [one.watch("orders"), other.watch("orders")];
    const children = await Promise.all(["a", "b", "c"].map((id) => start(url, id)));
    const [a, b] = children as [ChildProcess, ChildProcess, ChildProcess];
    try {
      await allShow(views, ["a", "b", "c"]);
      a.kill("SIGKILL");
      await allShow(views, ["b", "c"]);
      b.kill("SIGSTOP");
      const gone = await allShow(views, ["c"]);
      assert.ok(gone > ttl / 4, `one that stands still was dropped after ${gone} ms already`);
      b.kill("SIGCONT");
      await allShow(views, ["b", "c"]);
    } finally {
      for (const child of children) child.kill("SIGKILL");
    }
  });
}
