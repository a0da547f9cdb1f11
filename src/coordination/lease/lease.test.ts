import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { isAshlarError, type Runtime, sleep } from "../../core/index.ts";
import { createManualRuntime, type ManualRuntime } from "../../core/testing/manual-runtime.ts";
import { MemoryStore, openMemory } from "../../engine/memory/index.ts";
import { type Lease, type LeaseMessage, leasesOf } from "./index.ts";
import { alone, open } from "./testing/process.ts";
import { writtenKeys } from "./testing/tapped-driver.ts";

const code = (expected: string) => (error: unknown) => isAshlarError(error, expected);

async function leasesIn(store: MemoryStore): Promise<string[]> {
  await using other = openMemory({ store });
  const entries = await Array.fromAsync(other.kv.list({ prefix: ["lease"] }));
  return entries.map(({ key }) => key[1] as string);
}

test("one commit renews all leases of a process, however many use them", async () => {
  await using process = alone();
  const leases = leasesOf(process.engine);
  const held: Lease[] = [];
  for (let i = 0; i < 16; i++) for (let user = 0; user < 50; user++) held.push(await leases.acquire(3000 + i));
  assert.equal(new Set(held).size, 16);
  assert.equal(process.tap.commits, 16);
  process.tap.commits = 0;
  await process.runtime.advance(1100);
  assert.equal(process.tap.commits, 1);
  assert.ok(held.every(({ remaining }) => remaining > 2700));
  await process.runtime.advance(60_000);
  assert.ok(held.every((lease) => lease.held));
  assert.ok(process.tap.commits <= 65, `${process.tap.commits} commits in a minute`);
});

test("the same time to live is the same lease, asked for at once or later, from whichever scope", async () => {
  await using process = alone();
  const leases = leasesOf(process.engine);
  assert.equal(leasesOf(process.engine.scope("a", "b")), leases);
  const [one, two] = await Promise.all([leases.acquire("1s"), leases.acquire(1000)]);
  assert.equal(one, two);
  assert.equal(await leasesOf(process.engine.scope("c")).acquire(1000), one);
  assert.notEqual(await leases.acquire(1001), one);
  assert.equal(process.tap.commits, 2);
});

/**
 * Cuts a process off whose clock runs at `rate` against the engine's, and resolves with whether it knew of the loss whenever the engine did.
 */
async function ownerIsFirst(rate: number): Promise<boolean> {
  const engineTime = createManualRuntime();
  const store = new MemoryStore(engineTime);
  await using process = open(store);
  const pass = async (ms: number): Promise<void> => {
    await process.runtime.advance(ms * rate);
    await engineTime.advance(ms);
  };
  const lease = await leasesOf(process.engine).acquire("1s");
  // Far enough for several renewals; in small steps, because the engine's clock stands still while a renewal is sent within one.
  for (let i = 0; i < 6000; i++) await pass(0.25);
  assert.equal(lease.held, true);
  process.tap.away = true;
  await using observer = openMemory({ store, runtime: engineTime });
  const present = async (): Promise<boolean> => (await observer.kv.get(["lease", lease.id])) !== undefined;
  for (;;) {
    if (!(await present())) return !lease.held && lease.signal.aborted;
    await pass(lease.held && lease.remaining > 5 ? 1 : 0.1);
  }
}

test("a process that is cut off knows of the loss before the engine ends the lease, though clocks differ by 2 %", async () => {
  for (const rate of [1 / 1.02, 0.99, 1, 1.01, 1.02]) assert.equal(await ownerIsFirst(rate), true, `rate ${rate}`);
  // With more than is promised the order turns: the test would see it.
  assert.equal(await ownerIsFirst(0.95), false);
});

test("a lease outlasts a cut of half its time, and calls that hang", async () => {
  await using process = alone();
  const lease = await leasesOf(process.engine).acquire("3s");
  await process.runtime.advance(900);
  process.tap.away = true;
  await process.runtime.advance(1500);
  process.tap.away = false;
  await process.runtime.advance(500);
  assert.ok(lease.held && lease.remaining > 2000, `${lease.remaining} ms remain`);
  let hung = 0;
  const answer = Promise.withResolvers<void>();
  process.tap.intercept = (_, pass) => (hung++ === 0 ? answer.promise.then(pass) : pass());
  await process.runtime.advance(3000);
  assert.ok(hung > 1);
  assert.ok(lease.held && lease.remaining > 1900, `${lease.remaining} ms remain`);
  answer.resolve();
});

test("a late renewal does not bring a lease back that has ended", async () => {
  const engineTime = createManualRuntime();
  const store = new MemoryStore(engineTime);
  await using process = open(store);
  const [lease, other] = [await leasesOf(process.engine).acquire("1s"), await leasesOf(process.engine).acquire("2s")];
  await engineTime.advance(1001);
  assert.equal(lease.held, true);
  await process.runtime.advance(700);
  assert.ok(process.tap.commits >= 3);
  assert.equal(lease.held, false);
  assert.ok(isAshlarError(lease.signal.reason, "LEASE_LOST"));
  assert.deepEqual(await leasesIn(store), [other.id]);
  assert.equal(other.held, true);
  assert.equal(await leasesOf(process.engine).lives(lease.id), false);
  const next = await leasesOf(process.engine).acquire("1s");
  assert.notEqual(next.id, lease.id);
});

test("a renewal counts from the moment at which it was sent, however late its answer comes", async () => {
  await using process = alone();
  const lease = await leasesOf(process.engine).acquire("3s");
  const answer = Promise.withResolvers<void>();
  process.tap.intercept = async (_, pass) => {
    process.tap.intercept = undefined;
    const outcomes = await pass();
    await answer.promise;
    return outcomes;
  };
  // It is sent at 980 ms, when a third of the time has passed.
  await process.runtime.advance(1500);
  assert.ok(process.tap.commits === 2 && lease.remaining < 1500, `${lease.remaining} ms remain`);
  answer.resolve();
  await process.runtime.advance(0);
  assert.ok(lease.remaining > 2000 && lease.remaining < 2500, `${lease.remaining} ms remain`);
});

/** A runtime whose process may stand still: time passes, and no timer runs. */
function stoppable(): { readonly manual: ManualRuntime; readonly seam: Runtime; standStill(ms: number): void } {
  const manual = createManualRuntime();
  let missed = 0;
  const standStill = (ms: number): void => {
    missed += ms;
  };
  const clock = { now: () => manual.clock.now() + missed, monotonic: () => manual.clock.monotonic() + missed };
  return { manual, seam: { ...manual, clock }, standStill };
}

test("after a pause a lease is known to be lost before any timer has run", async () => {
  const { manual, seam, standStill } = stoppable();
  await using process = open(new MemoryStore(seam), manual, { seam });
  const lease = await leasesOf(process.engine).acquire("1s");
  const seen: unknown[] = [];
  lease.signal.addEventListener("abort", () => seen.push(lease.signal.reason));
  standStill(990);
  assert.equal(lease.remaining, 0);
  assert.equal(lease.held, false);
  assert.equal(seen.length, 1);
  assert.ok(isAshlarError(seen[0], "LEASE_LOST"));
  await assert.rejects(
    process.engine.transact((tx) => tx.set(["k"], 1), { fence: lease }),
    code("LEASE_LOST"),
  );
  assert.equal(await process.engine.kv.get(["k"]), undefined);
});

test("a transaction that began before the pause writes nothing after it", async () => {
  const { manual, seam, standStill } = stoppable();
  await using process = open(new MemoryStore(seam), manual, { seam });
  const lease = await leasesOf(process.engine).acquire("1s");
  await assert.rejects(
    process.engine.transact(
      (tx) => {
        tx.set(["k"], 1);
        standStill(1001);
      },
      { fence: lease },
    ),
    code("LEASE_LOST"),
  );
  assert.equal(await process.engine.kv.get(["k"]), undefined);
  // The refused commit told the owner.
  assert.equal(lease.signal.aborted, true);
});

test("the fence holds though the process cannot know that the engine ended the lease", async () => {
  const engineTime = createManualRuntime();
  await using process = open(new MemoryStore(engineTime));
  const lease = await leasesOf(process.engine).acquire("1s");
  await process.engine.transact((tx) => tx.set(["k"], 1), { fence: lease });
  await engineTime.advance(1001);
  assert.equal(lease.held, true);
  await assert.rejects(
    process.engine.scope("deep").transact((tx) => tx.set(["k"], 2), { fence: lease }),
    code("LEASE_LOST"),
  );
  assert.equal(lease.held, false);
  assert.equal(await process.engine.scope("deep").kv.get(["k"]), undefined);
});

test("a lease without users is given up at its next renewal, and nobody hears of a loss", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  await using process = open(store, runtime);
  const leases = leasesOf(process.engine);
  const lease = await leases.acquire("3s");
  assert.equal(await leases.acquire("3s"), lease);
  lease.release();
  await process.runtime.advance(5000);
  assert.deepEqual(await leasesIn(store), [lease.id]);
  lease.release();
  await process.runtime.advance(2100);
  assert.deepEqual(await leasesIn(store), []);
  assert.equal(lease.signal.aborted, false);
  const { commits } = process.tap;
  await process.runtime.advance(60_000);
  assert.equal(process.tap.commits, commits);
  assert.notEqual((await leases.acquire("3s")).id, lease.id);
});

test("a lease that is asked for again before its next renewal goes on", async () => {
  await using process = alone();
  const leases = leasesOf(process.engine);
  const lease = await leases.acquire("3s");
  lease.release();
  await process.runtime.advance(800);
  assert.equal(await leases.acquire("3s"), lease);
  await process.runtime.advance(10_000);
  assert.equal(lease.held, true);
});

test("closing ends the leases, so that others need not wait for their time", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  const process = open(store, runtime);
  await using other = openMemory({ store, runtime });
  const lease = await leasesOf(process.engine).acquire("1h");
  const gone = leasesOf(other).gone(lease.id, { signal: new AbortController().signal });
  await process.engine.close();
  await gone;
  assert.equal(lease.held, false);
  assert.ok(isAshlarError(lease.signal.reason, "LEASE_LOST"));
  assert.deepEqual(await leasesIn(store), []);
  await process.engine.close();
});

test("gone resolves at once for a lease that never was, when one ends, and rejects with the signal's reason", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  await using owner = open(store, runtime);
  await using other = open(store, runtime);
  const { signal } = new AbortController();
  const leases = leasesOf(other.engine);
  await leases.gone("never", { signal });
  const lease = await leasesOf(owner.engine).acquire("1s");
  assert.equal(await leases.lives(lease.id), true);
  const aborted = new AbortController();
  const given = new Error("enough");
  const refused = assert.rejects(leases.gone(lease.id, { signal: aborted.signal }), given);
  let ended = 0;
  const waits = Array.from({ length: 100 }, () => leases.gone(lease.id, { signal }).then(() => ended++));
  await runtime.advance(100);
  aborted.abort(given);
  await refused;
  assert.ok(other.tap.reads < 10, `${other.tap.reads} reads: one watch serves all who wait`);
  await runtime.advance(5000);
  assert.equal(ended, 0);
  owner.tap.away = true;
  // The time to live, and the second within which expiry is noticed.
  await runtime.advance(2000);
  assert.equal(ended, 100);
  await Promise.all(waits);
});

test("a wait for the end of a lease survives an engine that is away", async () => {
  const runtime = createManualRuntime();
  const store = new MemoryStore(runtime);
  await using owner = open(store, runtime);
  await using other = open(store, runtime);
  const lease = await leasesOf(owner.engine).acquire("1s");
  other.tap.away = true;
  let ended = false;
  const wait = leasesOf(other.engine)
    .gone(lease.id, { signal: new AbortController().signal })
    .then(() => {
      ended = true;
    });
  await runtime.advance(3000);
  assert.equal(ended, false);
  other.tap.away = false;
  await owner.engine.close();
  await runtime.advance(2000);
  await wait;
});

test("a process has at most 16 times to live at once, and room again when some are no longer used", async () => {
  await using process = alone();
  const leases = leasesOf(process.engine);
  for (let i = 0; i < 16; i++) await leases.acquire(1000 + i);
  await assert.rejects(leases.acquire("5s"), (error: unknown) => {
    assert.ok(isAshlarError(error, "LIMIT"));
    assert.deepEqual(error.details, { name: "ttl", given: 5000, limit: 16 });
    return true;
  });
  const used = await leases.acquire(1007);
  used.release();
  used.release();
  await process.runtime.advance(1000);
  assert.equal((await leases.acquire("5s")).ttl, 5000);
});

test("bad arguments are named, and a closed engine gives no leases", async () => {
  const process = alone();
  const leases = leasesOf(process.engine);
  for (const ttl of [99, 24 * 3600 * 1000 + 1, -1, Number.NaN, "soon", undefined]) {
    await assert.rejects(
      leases.acquire(ttl as number),
      (error) => isAshlarError(error, "INVALID_ARGUMENT") && /ttl/.test(error.message),
      `ttl ${ttl}`,
    );
  }
  assert.equal(process.tap.commits, 0);
  const given = new Error("enough");
  await assert.rejects(leases.acquire("1s", { signal: AbortSignal.abort(given) }), given);
  await process.engine.close();
  await assert.rejects(leases.acquire("1s"), code("CLOSED"));
});

test("an engine that is away gives no lease, and leaves room for the next", async () => {
  await using process = alone();
  const leases = leasesOf(process.engine);
  process.tap.away = true;
  await assert.rejects(leases.acquire("1s"), code("UNAVAILABLE"));
  process.tap.away = false;
  assert.equal((await leases.acquire("1s")).held, true);
});

test("the keys of leases lie at the root of the store", async () => {
  await using process = alone();
  const leases = leasesOf(process.engine.scope("tenant"));
  const lease = await leases.acquire("1s");
  assert.deepEqual(leases.keyOf(lease.id), ["lease", lease.id]);
  assert.equal((await process.engine.kv.get(leases.keyOf(lease.id)))?.value, 1000);
  assert.equal(await leases.now(), process.runtime.clock.now());
});

test("diagnostics channels tell of leases granted, lost, and renewals that failed", async () => {
  const heard: string[] = [];
  const listen = (message: unknown, name: string | symbol): void => {
    const { lease, ttl, reason } = message as LeaseMessage;
    assert.equal(typeof lease, "string");
    heard.push(`${String(name)} ${ttl}${reason === undefined ? "" : ` ${reason}`}`);
  };
  const channels = ["granted", "lost", "renewal-failed"].map((event) => `ashlar:lease:${event}`);
  for (const channel of channels) subscribe(channel, listen);
  try {
    await using process = alone();
    await leasesOf(process.engine).acquire("1s");
    process.tap.away = true;
    await process.runtime.advance(1000);
    assert.equal(heard[0], "ashlar:lease:granted 1000");
    assert.equal(heard[1], "ashlar:lease:renewal-failed 1000");
    assert.equal(heard.at(-1), "ashlar:lease:lost 1000 it was not renewed in time");
  } finally {
    for (const channel of channels) unsubscribe(channel, listen);
  }
});

test("a heartbeat writes leases and nothing else", async () => {
  await using process = alone();
  const lease = await leasesOf(process.engine).acquire("1s");
  const written: unknown[] = [];
  process.tap.intercept = (commits, pass) => {
    written.push(...commits.flatMap(writtenKeys));
    return pass();
  };
  await process.runtime.advance(400);
  assert.deepEqual(written, [["lease", lease.id]]);
});

test("a lease too short for the engine's latency does not cost the process its other leases", async () => {
  await using process = alone();
  const leases = leasesOf(process.engine);
  process.tap.intercept = async (_, pass) => {
    await sleep(process.runtime, 20);
    const outcomes = await pass();
    await sleep(process.runtime, 20);
    return outcomes;
  };
  const asked = leases.acquire("3s");
  await process.runtime.advance(100);
  const long = await asked;
  let stop = false;
  const shortOnes = (async () => {
    while (!stop) {
      const lease = await leases.acquire(100).catch(() => undefined);
      await sleep(process.runtime, 30);
      lease?.release();
    }
  })();
  await process.runtime.advance(20_000);
  stop = true;
  assert.equal(long.held, true);
  await process.runtime.advance(1000);
  await shortOnes;
  process.tap.intercept = undefined;
});
