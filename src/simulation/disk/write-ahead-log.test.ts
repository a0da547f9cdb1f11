import assert from "node:assert/strict";
import test from "node:test";
import type { DiskFaults } from "./disk-faults.ts";
import { createSeededChance } from "./testing/seeded-chance.ts";
import { createMachine, type SimulatedMachine } from "./testing/simulated-machine.ts";
import { correctLog, type LogRules, WriteAheadLog } from "./testing/write-ahead-log.ts";

const crashes = 4;

/** Appends until the process dies: of a crash at a moment drawn from the seed, or of an error. */
async function life(machine: SimulatedMachine, rules: LogRules, acknowledged: string[], lived: number): Promise<void> {
  const { records, log } = await WriteAheadLog.recover(machine.fs, rules);
  const found = records.map((record) => record.toString());
  assert.deepEqual(found.slice(0, acknowledged.length), acknowledged, "an acknowledged record is lost");
  // What was recovered has been made durable again, and others may have seen it.
  acknowledged.splice(0, acknowledged.length, ...found);
  for (let n = 0; ; n++) {
    const record = `${lived}.${n}:${"x".repeat((n * 37) % 300)}`;
    await log.append(Buffer.from(record));
    acknowledged.push(record);
  }
}

/** Whether all that was acknowledged was found after each of several crashes. */
async function keepsItsRecords(
  seed: number,
  rules: LogRules,
  faults: Partial<DiskFaults>,
  power = true,
): Promise<boolean> {
  const machine = createMachine(seed, { faults, metadata: seed % 2 ? "posix" : "ordered", sectorSize: 128 });
  const chance = createSeededChance(seed + 1_000_000);
  const acknowledged: string[] = [];
  for (let lived = 0; lived <= crashes; lived++) {
    let failure: unknown;
    life(machine, rules, acknowledged, lived).catch((error) => {
      failure = error;
    });
    await machine.runtime.advance(chance.between("moment of the crash", 0, 12));
    if (failure instanceof assert.AssertionError) return false;
    if (failure !== undefined) assert.equal((failure as NodeJS.ErrnoException).code, "EIO");
    machine.restart({ power: power && (failure === undefined || chance.hits("power", 0.5)) });
  }
  return true;
}

async function losses(seeds: number, rules: LogRules, faults: Partial<DiskFaults>, power = true): Promise<number> {
  let lost = 0;
  for (let seed = 0; seed < seeds; seed++) if (!(await keepsItsRecords(seed, rules, faults, power))) lost++;
  return lost;
}

const harsh = { slow: 0.02, shortWrite: 0.1, tear: 0.3, errorOnSync: 0.02, errorOnRead: 0.005, errorOnWrite: 0.01 };

test("a log that syncs before it acknowledges loses nothing in 300 seeds of power losses, torn sectors and errors", async () => {
  assert.equal(await losses(300, correctLog, harsh), 0);
});

test("a log that never syncs loses acknowledged records at a loss of power", async () => {
  assert.ok((await losses(5, { ...correctLog, sync: "never" }, {})) > 0);
});

test("a log that acknowledges before it syncs loses acknowledged records at a loss of power", async () => {
  assert.ok((await losses(5, { ...correctLog, sync: "after" }, {})) > 0);
});

test("a log that repeats a failed sync until it succeeds loses acknowledged records", async () => {
  const rules: LogRules = { sync: "before", syncError: "retry" };
  assert.equal(await losses(5, rules, {}), 0, "without failures it is safe");
  assert.ok((await losses(5, rules, { errorOnSync: 0.3 })) > 0);
});

test("without losses of power even a log that never syncs keeps its records", async () => {
  assert.equal(await losses(20, { ...correctLog, sync: "never" }, {}, false), 0);
});
