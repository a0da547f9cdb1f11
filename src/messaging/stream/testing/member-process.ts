import { connect } from "../../../index.ts";
import { createStream } from "../index.ts";

/** A process that consumes until it is killed, and copies what it gets into another stream. */
const [url = ""] = process.argv.slice(2);
const engine = await connect(url);
const source = createStream<number>(engine, "source", { partitions: 4 });
const copy = createStream<number>(engine, "copy", { partitions: 2 });
source.consume(
  "copiers",
  async (records, { tx, partition }) => {
    if (Math.random() < 0.05) throw new Error("flaky");
    tx.append(
      ["effects", partition],
      records.map(({ value }) => value),
    );
    await copy.appendMany(
      records.map(({ value, key }) => ({ value, key: key as string })),
      { tx },
    );
  },
  { batch: 20, lease: "1s", drain: "500ms", retry: { attempts: 1000, base: 5, cap: 50 } },
);
