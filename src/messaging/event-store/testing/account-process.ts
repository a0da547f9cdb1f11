import { connect } from "../../../index.ts";
import { createEventStore } from "../index.ts";
import { type AccountCommand, type AccountEvent, account } from "./account.ts";

/**
 * Executes commands on three accounts and takes part in projecting them, in a process of its own; says on its output what was acknowledged.
 *
 * Arguments: the store's URL, "rebuild" to build the projection anew as well.
 */
const [url = "", rebuild = ""] = process.argv.slice(2);
const engine = await connect(url);
const accounts = createEventStore<{ balance: number }, AccountEvent, AccountCommand>(engine, "accounts", {
  ...account,
  snapshots: { every: 5 },
});
const options = { batch: 5, lease: "500ms" } as const;
type Handler = Parameters<typeof accounts.project>[1];
const handler: Handler = ({ stream, data, position }, { view, tx, generation }) => {
  view.add([stream], data.type === "deposited" ? data.amount : -data.amount);
  tx.append(["projected", generation], [position]);
};
accounts.project("balances", handler, options);
if (rebuild === "rebuild") accounts.rebuild("balances", handler, options);
process.stdout.write("began\n");
for (let n = 0; ; n++) {
  const stream = `acc-${n % 3}`;
  const { version } = await accounts.execute(stream, { type: "deposit", amount: 1 }, { attempts: 1000 });
  process.stdout.write(`${stream} ${version}\n`);
}
