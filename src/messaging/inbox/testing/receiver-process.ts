import { connect } from "../../../index.ts";
import { createInbox } from "../index.ts";

/**
 * Receives the same messages again and again in a process of its own, and says on its output which ones it was told to be the first with.
 *
 * Arguments: the store's URL, the number of messages.
 */
const [url = "", messages = ""] = process.argv.slice(2);
const engine = await connect(url);
const inbox = createInbox(engine, "stripe");
process.stdout.write("began\n");
for (let n = 0; ; n = (n + 1) % Number(messages)) {
  const { duplicate } = await inbox.receive(`evt_${n}`, ({ tx }) => {
    tx.add(["effect", n], 1);
    tx.append("effects", [n]);
  });
  if (!duplicate) process.stdout.write(`first ${n}\n`);
}
