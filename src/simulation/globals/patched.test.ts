import assert from "node:assert/strict";
import { test } from "node:test";
import { simulatePatched } from "./simulate-patched.ts";

const factsFile = new URL("./testing/facts.sim.ts", import.meta.url);
const servicesFile = new URL("./testing/services.sim.ts", import.meta.url);

const claims = {
  clocks: "Date, performance and process tell the machine's time",
  timers: "timers run in virtual time, in Node's order, in the context of whoever asked",
  aborting: "AbortSignal.timeout and aborted waits follow virtual time",
  chance: "Math.random and node:crypto draw from the seed",
  sockets: "node:net connects machines by name, with Node's errors",
  requests: "node:http and fetch work unmodified, with Node's errors and timeouts",
  moreClocks: "marks, host names, repeated and cleared timers follow the machine",
  sharedAgents: "an http.Agent of a shared module gives no socket of one machine to another",
  lazyModules: "modules may be loaded while virtual time stands still",
} as const;

for (const [name, claim] of Object.entries(claims)) {
  test(claim, async () => {
    const first = await simulatePatched(factsFile, name, { seed: 1 });
    assert.equal(first.failure, undefined);
    const second = await simulatePatched(factsFile, name, { seed: 1 });
    assert.equal(second.traceHash, first.traceHash);
  });
}

test("what cannot be simulated throws, and says what to do instead; what is synchronous may be used", async () => {
  const { failure } = await simulatePatched(factsFile, "allEscapes", { seed: 1 });
  assert.equal(failure, undefined);
});

test("an escape that nobody catches, and a real handle, fail the run", async () => {
  const uncaught = await simulatePatched(factsFile, "uncaughtEscape", { seed: 1 });
  assert.equal(uncaught.failure?.kind, "escape");
  assert.match(uncaught.failure?.message ?? "", /node-0.*node:child_process spawn cannot be simulated/);
  const inClient = await simulatePatched(factsFile, "clientEscape", { seed: 1 });
  assert.equal(inClient.failure?.kind, "escape");
  const { failure } = await simulatePatched(factsFile, "realHandle", { seed: 1 });
  assert.equal(failure?.kind, "escape");
  assert.match(failure?.message ?? "", /a real TCPServerWrap cannot be simulated/);
});

for (const name of ["plainHttp", "withFastify"]) {
  test(`${name}: crashes, partitions and resets are survived, and repeat themselves`, async () => {
    const hashes = new Set<string>();
    const met = new Set<string>();
    for (const seed of [1, 3, 5]) {
      const [first, second] = await Promise.all([
        simulatePatched(servicesFile, name, { seed }),
        simulatePatched(servicesFile, name, { seed }),
      ]);
      assert.equal(first.failure, undefined);
      assert.equal(second.traceHash, first.traceHash);
      hashes.add(first.traceHash);
      for (const error of Object.keys(first.errors)) met.add(error);
    }
    assert.equal(hashes.size, 3);
    assert.ok(met.has("ECONNREFUSED") && met.has("TimeoutError") && met.has("ECONNRESET"), [...met].join());
  });
}

test("a process that hangs is ended by the signal, one that cannot load its module says why", async () => {
  const controller = new AbortController();
  const running = simulatePatched(factsFile, "hanging", { seed: 1, signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 300);
  await assert.rejects(running, /enough/);
  await assert.rejects(simulatePatched(factsFile, "nothing", { seed: 1 }), /exports no scenario nothing/);
  await assert.rejects(simulatePatched("/nowhere/at-all.ts", "nothing", { seed: 1 }), /at-all\.ts/);
});
