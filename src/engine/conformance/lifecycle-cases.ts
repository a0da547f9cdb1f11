import assert from "node:assert/strict";
import { isAshlarError } from "../../core/index.ts";
import type { Engine } from "../contract.ts";
import { getValue, numbers } from "./entries.ts";
import { failsWith } from "./expecting.ts";
import { type Asked, facts } from "./fact.ts";

/** Closing a scope closes nothing, so these facts are about whole clients. */
const wholeClients = ({ namespace }: Engine, _: Asked): string | undefined =>
  namespace.length > 0 ? "the target's clients are scopes, whose closing leaves the store open" : undefined;

const uses: Readonly<Record<string, (engine: Engine) => unknown>> = {
  get: ({ kv }) => kv.get(["k"]),
  getMany: ({ kv }) => kv.getMany([["k"]]),
  "getMany of nothing": ({ kv }) => kv.getMany([]),
  list: ({ kv }) => Array.fromAsync(kv.list({})),
  set: ({ kv }) => kv.set(["k"], 1),
  delete: ({ kv }) => kv.delete(["k"]),
  add: ({ kv }) => kv.add(["k"], 1),
  commit: ({ kv }) => kv.commit({ mutations: [{ set: ["k"], value: 1 }] }),
  "commit of nothing": ({ kv }) => kv.commit({}),
  tryCommit: ({ kv }) => kv.tryCommit({ checks: [{ key: ["k"], version: undefined }] }),
  watch: ({ kv }) => kv.watch({}).next(),
  append: ({ log }) => log.append("t", [1]),
  read: ({ log }) => log.read("t"),
  tail: ({ log }) => log.tail("t").next(),
  bounds: ({ log }) => log.bounds("t"),
  trim: ({ log }) => log.trim("t", 0),
  "blob.put": ({ blob }) => blob.put(["b"], new Uint8Array(1)),
  "blob.get": ({ blob }) => blob.get(["b"]),
  "blob.head": ({ blob }) => blob.head(["b"]),
  "blob.list": ({ blob }) => Array.fromAsync(blob.list({})),
  "blob.delete": ({ blob }) => blob.delete(["b"]),
  publish: ({ bus }) => bus.publish("s", 1),
  subscribe: ({ bus }) => bus.subscribe("s"),
  transact: (engine) => engine.transact(() => 1),
  now: (engine) => engine.now(),
};

export const lifecycleFacts = facts("lifecycle", {
  "a client tells what it is": async ({ engine }) => {
    assert.match(engine.name, /^[a-z][a-z0-9+.-]*$/);
    const { guarantees } = engine;
    assert.equal(guarantees.commits, "strict-serializable");
    const words: Record<string, readonly unknown[]> = {
      reads: ["linearizable", "monotonic"],
      durability: ["none", "process-crash", "power-loss"],
      sharing: ["process", "machine", "network"],
      clock: ["process", "machine", "server"],
      unknownOutcomes: ["never", "settled", "possible"],
      failover: ["none", "nothing", "acknowledged-commits"],
      sql: [true, false],
    };
    for (const [name, allowed] of Object.entries(words)) {
      assert.ok(allowed.includes(guarantees[name as keyof typeof guarantees]), `guarantees.${name}`);
    }
    assert.ok(guarantees.notes.every((note) => note.length > 0));
  },

  "what blocks share is made once for all scopes of a client": async ({ engine, other }) => {
    const made: string[] = [];
    const share = (client: Engine, name: string) =>
      client.shared(name, (root) => {
        made.push(name);
        return { root, [Symbol.asyncDispose]: async () => {} };
      });
    const name = `conformance ${engine.namespace.join(" ")}`;
    const first = share(engine, name);
    assert.equal(share(engine.scope("inner"), name), first);
    assert.notEqual(share(other, name), first);
    assert.deepEqual(first.root.namespace, []);
    assert.deepEqual(made, [name, name]);
  },

  "what blocks share is disposed of once, while the store still works": {
    needs: wholeClients,
    run: async ({ open }) => {
      const { client } = await open();
      const disposed: number[] = [];
      for (const order of [1, 2]) {
        client.shared(`conformance ${order}`, (root) => ({
          [Symbol.asyncDispose]: async () => {
            assert.equal(typeof (await root.now()), "number");
            disposed.push(order);
          },
        }));
      }
      await Promise.all([client.close(), client.close()]);
      assert.deepEqual(disposed, [2, 1]);
      await failsWith("CLOSED", () => client.shared("conformance", () => assert.fail("made")));
    },
  },

  "several clients share one store": {
    guarantee: "sharing",
    run: async ({ engine, other, open }) => {
      const { engine: third } = await open();
      for (const [i, client] of [engine, other, third].entries()) await client.kv.set(["k", i], i);
      for (const client of [engine, other, third]) {
        assert.deepEqual(await Promise.all(numbers(3).map((i) => getValue(client, ["k", i]))), [0, 1, 2]);
      }
    },
  },

  "a client may be closed twice, also at the same time": async ({ open }) => {
    const { client } = await open();
    await Promise.all([client.close(), client.close()]);
    await client.close();
    await client[Symbol.asyncDispose]();
  },

  "after closing everything fails with CLOSED": {
    needs: wholeClients,
    run: async ({ open }) => {
      const { client, engine } = await open();
      await client.close();
      for (const face of [client, engine, engine.scope("s")]) {
        for (const [name, use] of Object.entries(uses)) {
          const error = await failsWith("CLOSED", () => use(face)).catch((failure) =>
            assert.fail(`${name}: ${failure.message}`),
          );
          assert.equal(error.retryable, false);
        }
      }
    },
  },

  "disposing closes": {
    needs: wholeClients,
    run: async ({ open }) => {
      const { client, engine } = await open();
      {
        await using _ = client;
        await engine.kv.set(["k"], 1);
      }
      await failsWith("CLOSED", () => engine.kv.get(["k"]));
    },
  },

  "closing one client leaves the others open": async ({ open, engine }) => {
    const { client, engine: closing } = await open();
    await closing.kv.set(["k"], 1);
    await client.close();
    assert.equal(await getValue(engine, ["k"]), 1);
    await engine.kv.set(["k"], 2);
  },

  "closing ends watches, tails and subscriptions": {
    needs: wholeClients,
    run: async ({ open, soon, topic }) => {
      const { client, engine } = await open();
      await engine.kv.set(["w", 1], 1);
      const watch = engine.kv.watch({ prefix: ["w"] });
      await soon("the first array", watch.next());
      const tail = engine.log.tail(topic("t"));
      const subscription = await engine.bus.subscribe("s");
      const messages = subscription[Symbol.asyncIterator]();
      const waiting = [watch.next(), tail.next(), messages.next()].map((next) =>
        next.then(
          ({ done }) => done === true || "went on",
          (error) => error,
        ),
      );
      await soon("closing", client.close());
      const [watched, tailed, heard] = await soon("the end of all that waits", Promise.all(waiting));
      assert.ok(isAshlarError(watched, "CLOSED"), `the watch: ${watched}`);
      assert.ok(isAshlarError(tailed, "CLOSED"), `the tail: ${tailed}`);
      assert.ok(heard === true || isAshlarError(heard, "CLOSED"), `the subscription: ${heard}`);
      await subscription.close();
    },
  },

  "closing lets commits in flight settle": async ({ open, engine, soon }) => {
    const { client, engine: closing } = await open();
    const commits = numbers(100).map((i) =>
      closing.kv.set(["k", i], i).then(
        () => true,
        (error) => error,
      ),
    );
    await soon("closing", client.close());
    const outcomes = await soon("the commits", Promise.all(commits));
    for (const [i, outcome] of outcomes.entries()) {
      assert.ok(outcome === true || isAshlarError(outcome, "CLOSED"), `commit ${i}: ${outcome}`);
      assert.equal(await getValue(engine, ["k", i]), outcome === true ? i : undefined);
    }
    assert.ok(
      outcomes.every((outcome) => outcome === true),
      "they were in flight, so they settle",
    );
  },

  "closing while transactions run ends them": {
    needs: wholeClients,
    run: async ({ open, soon, engine }) => {
      const { client, engine: closing } = await open();
      const stepped = Promise.withResolvers<void>();
      const running = closing.transact(async (tx) => {
        tx.set(["k"], 1);
        await stepped.promise;
        await tx.get(["other"]);
      });
      const failed = failsWith("CLOSED", () => soon("the transaction", running));
      await soon("closing", client.close());
      stepped.resolve();
      await failed;
      assert.equal(await engine.kv.get(["k"]), undefined);
    },
  },

  "many clients come and go": async ({ open }) => {
    for (const i of numbers(5)) {
      const { client, engine } = await open();
      assert.equal(await engine.kv.add(["opened"], 1), i + 1);
      await client.close();
    }
  },
});
