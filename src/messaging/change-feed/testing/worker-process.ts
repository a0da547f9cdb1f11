import { connect } from "../../../index.ts";
import { createChangeFeed } from "../index.ts";

/**
 * Captures and follows in a process of its own: what it is told, it copies, and counts.
 *
 * Arguments: the store's URL, the time to live of leases in milliseconds.
 */
const [url = "", ttl = ""] = process.argv.slice(2);
const engine = await connect(url);
const feed = createChangeFeed<number>(engine, "changes", { range: { prefix: ["item"] }, ttl: Number(ttl) });
const running = feed.run();
const follower = feed.follow(
  "copy",
  (changes, { tx }) => {
    for (const { key, value, deleted } of changes) {
      if (deleted) tx.delete(["copy", ...key.slice(1)]);
      else tx.set(["copy", ...key.slice(1)], value);
    }
    tx.append(
      "followed",
      changes.map(({ offset }) => offset),
    );
  },
  { batch: 5 },
);
process.stdout.write("began\n");
await Promise.all([running.done, follower.done]);
