import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createPhiAccrualDetector } from "../src/coordination/failure-detector/index.ts";
import { createRegistry, type Registration } from "../src/coordination/registry/index.ts";
import type { Engine } from "../src/engine/index.ts";
import { MemoryStore, openMemory } from "../src/engine/memory/index.ts";
import { connect } from "../src/index.ts";
import { type Contender, heading, type Match, median, play, table } from "./compare.ts";

const { values: args } = parseArgs({ options: { quick: { type: "boolean" }, markdown: { type: "string" } } });
const address = { host: "10.0.0.1", port: 8080 };

/** So many callers share the work; each does its next piece when its last has ended. */
function contender(name: string, callers: number, work: (n: number) => unknown): Contender {
  return {
    name,
    async run(count) {
      let left = count;
      const call = async (): Promise<void> => {
        while (left > 0) await work(left--);
      };
      await Promise.all(Array.from({ length: callers }, call));
    },
  };
}

interface Place {
  readonly name: string;
  open(): Promise<Engine>;
  remove(): void;
}

function places(): Place[] {
  const store = new MemoryStore();
  const folder = mkdtempSync(join(tmpdir(), "ashlar-registry-"));
  return [
    { name: "memory", open: async () => openMemory({ store }), remove: () => {} },
    {
      name: "SQLite",
      open: () => connect(`sqlite:${join(folder, "data.db")}`),
      remove: () => rmSync(folder, { recursive: true, force: true }),
    },
  ];
}

async function matchesOn(name: string, engine: Engine): Promise<Match[]> {
  const registry = createRegistry(engine, "registrations", { ttl: "1h" });
  const register = async (): Promise<void> => {
    const registration = await registry.register("orders", { address });
    await registration.close();
  };
  let last = 0;
  const byHand = async (): Promise<void> => {
    const key = ["by hand", ++last];
    await engine.kv.commit({ checks: [{ key, version: undefined }], mutations: [{ set: key, value: { address } }] });
    await engine.kv.delete(key);
  };
  return [1, 50].map((callers) => ({
    what: `${name}: register and take back, ${callers === 1 ? "1 caller" : `${callers} callers`}`,
    contenders: [contender("registry", callers, register), contender("two commits by hand", callers, byHand)],
  }));
}

/** The cost of a look at a view, beside a look into a map that one keeps by oneself. */
async function lookups(): Promise<Match[]> {
  const engine = await connect("memory:");
  const registry = createRegistry(engine, "lookups", { ttl: "1h" });
  const ids = Array.from({ length: 1000 }, (_, i) => `instance-${i}`);
  await Promise.all(ids.map((id, i) => registry.register("orders", { id, address, zone: `zone-${i % 3}` })));
  const view = registry.watch("orders");
  const near = registry.watch("orders", { filter: { zone: "zone-1" } });
  await Promise.all([view.ready(), near.ready()]);
  const map = new Map(view.instances.map((instance) => [instance.id, instance]));
  const array = view.instances;
  let sum = 0;
  const loop = (name: string, fn: (i: number) => number): Contender => ({
    name,
    run(count) {
      for (let i = 0; i < count; i++) sum += fn(i);
      // Used, so that nothing is left out.
      if (Number.isNaN(sum)) throw new Error("bug: no number");
    },
  });
  const detector = createPhiAccrualDetector();
  const beat = (i: number): number => {
    detector.heartbeat(ids[i % 1000] as string);
    return 1;
  };
  return [
    {
      what: "view of 1000 instances: all of them",
      contenders: [loop("view.instances", () => view.instances.length), loop("an array", () => array.length)],
    },
    {
      what: "view of 1000 instances: those of a zone",
      contenders: [loop("view.instances, filtered", () => near.instances.length), loop("an array", () => array.length)],
    },
    {
      what: "view of 1000 instances: one by its id",
      contenders: [
        loop("view.get", (i) => view.get(ids[i % 1000] as string)?.weight ?? 0),
        loop("Map.get", (i) => map.get(ids[i % 1000] as string)?.weight ?? 0),
      ],
    },
    {
      what: "phi accrual detector of 1000 peers: a heartbeat",
      contenders: [loop("heartbeat", beat), loop("Map.get", (i) => map.get(ids[i % 1000] as string)?.weight ?? 0)],
    },
    {
      what: "phi accrual detector of 1000 peers: is one available",
      contenders: [
        loop("isAvailable", (i) => (detector.isAvailable(ids[i % 1000] as string) ? 1 : 0)),
        loop("suspicion", (i) => detector.suspicion(ids[i % 1000] as string)),
      ],
    },
  ];
}

/** Milliseconds from the call that registers until a view of another client shows the instance, beside those of a plain watch. */
async function latencies({ name, open }: Place): Promise<string> {
  const [here, there] = [await open(), await open()];
  const server = createRegistry(here, "latency", { ttl: "1h" });
  const registry = createRegistry(there, "latency");
  const view = registry.watch("orders");
  const changes = view.changes();
  await changes.next();
  const plain = there.kv.watch({ prefix: ["plain"] });
  await plain.next();
  const rows: Record<"view" | "watch", number[]> = { view: [], watch: [] };
  const own: Registration[] = [];
  for (let i = 0; i < (args.quick ? 50 : 300); i++) {
    const from = performance.now();
    const seen = changes.next().then(() => rows.view.push(performance.now() - from));
    own.push(await server.register("orders", { address }));
    await seen;
    const start = performance.now();
    const told = plain.next().then(() => rows.watch.push(performance.now() - start));
    await here.kv.set(["plain", i], { address });
    await told;
  }
  await Promise.all([server.close(), registry.close(), plain.return?.()]);
  await Promise.all([here.close(), there.close()]);
  const show = (values: number[]): string => {
    const worst = values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] as number;
    return `${median(values).toFixed(2)} ms (99 %: ${worst.toFixed(2)} ms)`;
  };
  return `| ${name} | ${show(rows.view)} | ${show(rows.watch)} |`;
}

const head = heading();
const effort = args.quick ? { rounds: 3, ms: 60 } : { rounds: 7, ms: 300 };
const results = [];
const delays: string[] = [];
for (const place of places()) {
  const engine = await place.open();
  for (const match of await matchesOn(place.name, engine)) results.push(await play(match, effort));
  delays.push(await latencies(place));
  await engine.close();
  place.remove();
}
for (const match of await lookups()) results.push(await play(match, effort));

const report = `# Registry and failure detectors

Registering is one commit under a lease that the process has already, taking back another one that reads first; beside it, in the same run and on the same engine, the two commits that one would make by hand. A ratio of 0.5 says
that ours takes twice as long. A look at a view is a look into memory; beside it, what one would keep by oneself. Run with \`node --expose-gc bench/registry.ts\`.

${head}

${table(results)}

From the call of \`register\` until a view of another client of the store shows the instance; and from \`kv.set\` until a watch tells of it:

| engine | view of another client | plain watch |
|---|---|---|
${delays.join("\n")}
`;
if (args.markdown) writeFileSync(args.markdown, report);
else console.log(report);
process.exit();
