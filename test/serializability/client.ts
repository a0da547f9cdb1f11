import { connect } from "../../src/index.ts";
import { type ClientTask, runClient } from "./workload.ts";

/** A client in a process of its own: its arguments are the store's URL and its task in JSON, its output the history in JSON. */
if (import.meta.main) {
  const [url = "", task = ""] = process.argv.slice(2);
  await using engine = await connect(url);
  // Says that it is ready, and begins when told, so that all clients run at once.
  process.stdout.write("ready\n");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  process.stdin.destroy();
  process.stdout.write(`${JSON.stringify(await runClient(engine, JSON.parse(task) as ClientTask))}\n`);
}
