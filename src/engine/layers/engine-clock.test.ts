import assert from "node:assert/strict";
import { test } from "node:test";
import { UnavailableError } from "../../core/index.ts";
import { createManualRuntime } from "../../core/testing/manual-runtime.ts";
import type { Guarantees } from "../contract.ts";
import { EngineClock } from "./engine-clock.ts";

/** A clock of a server that is `ahead` of this machine's, each question taking 10 ms there and 10 ms back. */
function serverClock(ahead: number) {
  const runtime = createManualRuntime(1_000_000);
  const server = { ahead, asked: 0, away: false };
  const now = async () => {
    server.asked++;
    await new Promise<void>((resolve) => void runtime.timers.after(10, resolve));
    if (server.away) throw new UnavailableError("away");
    const shown = runtime.clock.now() + server.ahead + 0.4;
    await new Promise<void>((resolve) => void runtime.timers.after(10, resolve));
    return shown;
  };
  const clock = new EngineClock({ now, guarantees: { clock: "server" } as Guarantees }, runtime);
  return { runtime, server, clock };
}

test("a clock of this machine is read each time", async () => {
  let shown = 5.9;
  for (const kind of ["process", "machine"] as const) {
    const clock = new EngineClock(
      { now: async () => shown++, guarantees: { clock: kind } as Guarantees },
      createManualRuntime(),
    );
    const first = await clock.now();
    assert.equal(await clock.now(), first + 1);
    assert.ok(Number.isInteger(first));
  }
});

test("a server is asked once, then its clock is reckoned from the monotonic one", async () => {
  const { runtime, server, clock } = serverClock(500_000);
  const asking = Promise.all([clock.now(), clock.now()]);
  await runtime.advance(20);
  assert.deepEqual(await asking, [1_500_020, 1_500_020]);
  await runtime.advance(7);
  assert.equal(await clock.now(), 1_500_027);
  runtime.setWallClock(0);
  assert.equal(await clock.now(), 1_500_027);
  assert.equal(server.asked, 1);
});

test("the reckoning is renewed in the background after half a minute, and kept if the server is away", async () => {
  const { runtime, server, clock } = serverClock(0);
  const asking = clock.now();
  await runtime.advance(20);
  await asking;
  server.ahead = 3000;
  await runtime.advance(30_001);
  assert.equal(await clock.now(), 1_030_021, "nobody waits for the new one");
  await runtime.advance(20);
  assert.equal(await clock.now(), 1_033_041);
  server.away = true;
  await runtime.advance(40_000);
  await clock.now();
  await runtime.advance(20);
  assert.equal(await clock.now(), 1_073_061);
  assert.equal(server.asked, 4);
});

test("a server that cannot be asked for the first time is an error, and is asked again", async () => {
  const { runtime, server, clock } = serverClock(0);
  server.away = true;
  const rejected = assert.rejects(clock.now(), { code: "UNAVAILABLE" });
  await runtime.advance(20);
  await rejected;
  server.away = false;
  const asking = clock.now();
  await runtime.advance(20);
  assert.equal(await asking, 1_000_040);
});
