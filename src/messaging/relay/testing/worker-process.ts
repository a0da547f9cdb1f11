import { connect } from "../../../index.ts";
import { createRelay, webhook } from "../index.ts";

/**
 * Delivers in a process of its own, and counts in the transaction of the delivery.
 *
 * Arguments: the store's URL, the receiver's URL.
 */
const [url = "", receiver = ""] = process.argv.slice(2);
const engine = await connect(url);
const post = webhook<{ n: number }>({ url: receiver, allowPrivate: true, timeout: "2s" });
const relay = createRelay<{ n: number }>(engine, "orders", {
  deliver: async (message, context) => {
    await post(message, context);
    context.tx.add(["acknowledged", message.n], 1);
  },
  retry: { attempts: 100, backoff: { base: 20, cap: 200 } },
  lease: "1s",
});
const running = relay.run({ concurrency: 5 });
process.stdout.write("began\n");
await running.done;
