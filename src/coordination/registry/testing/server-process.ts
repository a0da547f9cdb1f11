import { connect } from "../../../engine/index.ts";
import { createRegistry } from "../index.ts";

// A process that registers and stays, until it is killed or its parent is gone.
const [, , url, id, ttl] = process.argv as [string, string, string, string, string];
const engine = await connect(url);
const registry = createRegistry(engine);
await registry.register("orders", { id, address: `process:${process.pid}`, ttl: Number(ttl) });
process.on("disconnect", () => process.exit());
process.send?.("registered");
