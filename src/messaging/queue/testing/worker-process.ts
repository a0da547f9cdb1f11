import { sleep } from "../../../core/index.ts";
import { connect } from "../../../index.ts";
import { createQueue } from "../index.ts";

/** A process that handles jobs until it is killed: each writes into the ledger, and some fail now and then. */
const [url = ""] = process.argv.slice(2);
const engine = await connect(url);
const queue = createQueue<string>(engine, "work", {
  lease: "1s",
  retry: { attempts: 1000, backoff: { base: 5, cap: 50 } },
});
queue.work(
  async ({ data }, { tx }) => {
    if (Math.random() < 0.05) throw new Error("flaky");
    tx.add(["ledger", data], 1);
    if (Math.random() < 0.02) await sleep(engine.runtime, 100);
  },
  { concurrency: 20 },
);
process.stdout.write("ready\n");
