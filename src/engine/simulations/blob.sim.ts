import assert from "node:assert/strict";
import { keyValue, linearizable } from "../../check/index.ts";
import type { Scenario, SimulatedClient, World } from "../../simulation/index.ts";
import { keysOnlyServer } from "./keys-only-server.sim.ts";

/** Objects that are replaced while others read them: a reader gets one of them whole, and as a register they are linearizable. */
export const blob: Scenario = {
  name: "blobs over keys",
  faults: ["engine", "network", "code"],
  engine: keysOnlyServer,
  workload: { clients: 3, operations: 12, think: 80, operation: putOrGet },
  invariants: { "objects are whole": whole },
  checks: [linearizable(keyValue)],
};

async function putOrGet(client: SimulatedClient): Promise<void> {
  const { engine, runtime, name, operation } = client;
  const key = `object-${Math.floor(runtime.random.next() * 2)}`;
  const chance = runtime.random.next();
  if (chance < 0.45) {
    const value = `${name}.${operation}`;
    const size = Math.floor(10 ** (runtime.random.next() * 5));
    await client.record({ name: "set", key, input: value }, async () => {
      await engine.blob.put([key], contentOf(value, size));
    });
  } else if (chance < 0.55) {
    await client.record({ name: "delete", key }, async () => {
      await engine.blob.delete([key]);
    });
  } else {
    await client.record({ name: "get", key }, async () => {
      const found = await engine.blob.get([key]);
      return found ? nameOf(await found.bytes()) : null;
    });
  }
}

/** The name, a colon, and the last digit of the name again and again. */
function contentOf(name: string, size: number): Uint8Array {
  return Buffer.from(`${name}:${name.slice(-1).repeat(size)}`);
}

/** @throws AssertionError the bytes are of no single object */
function nameOf(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString();
  const name = text.slice(0, text.indexOf(":"));
  assert.equal(text, `${name}:${name.slice(-1).repeat(text.length - name.length - 1)}`, "parts of two objects");
  return name;
}

async function whole({ engine }: World): Promise<void> {
  for await (const { key } of engine.blob.list({})) {
    const found = await engine.blob.get(key);
    if (found) nameOf(await found.bytes());
  }
}
