/**
 * Three processes sell the same 3,000 seats from one SQLite file; one of them is killed on the way, without warning, and started again.
 * At the end the books are audited: every seat sold once, and a receipt for each. Run: npm start
 */
import { fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "ashlar";

const seats = 3_000;
const sellers = ["ada", "bob", "cyd"];

/** One seller: each sale takes a seat, counts it, and writes the receipt, in one commit or not at all. */
async function sell(url: string, seller: string): Promise<void> {
  await using engine = await connect(url);
  const office = async (): Promise<boolean> =>
    engine.transact(async (tx) => {
      const left = (await tx.get<number>(["left"])) ?? 0;
      if (left === 0) return false;
      const seat = seats - left + 1;
      tx.set(["left"], left - 1);
      tx.set(["seat", seat], seller);
      tx.add(["sold by", seller], 1);
      tx.append("receipts", [{ seat, seller }]);
      return true;
    });
  while (await office());
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ashlar-tickets-"));
  const url = `sqlite:${join(folder, "tickets.db")}`;
  const engine = await connect(url);
  await engine.kv.set(["left"], seats);
  console.log(`${seats} seats, ${sellers.length} processes, one file: ${url}`);

  const start = (seller: string) => fork(import.meta.filename, [url, seller]);
  const exit = (child: ReturnType<typeof start>) =>
    new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code)));
  const [victim, ...others] = sellers.map(start);
  const done = others.map(exit);
  for await (const [change] of engine.kv.watch<number>({ key: ["left"] })) {
    if (change && !change.deleted && change.value < seats / 2) break;
  }
  victim?.kill("SIGKILL");
  console.log(`half are sold; ${sellers[0]} was killed by ${victim && (await exit(victim))} and starts again`);
  await Promise.all([...done, exit(start(sellers[0] as string))]);

  const sold = await Array.fromAsync(engine.kv.list<string>({ prefix: ["seat"] }));
  const receipts = new Set<number>();
  let records = 0;
  for (let from = 0, { next } = await engine.log.bounds("receipts"); from < next; ) {
    const page = await engine.log.read<{ seat: number }>("receipts", { from });
    for (const { value } of page) receipts.add(value.seat);
    records += page.length;
    from += page.length;
  }
  for await (const { key, value } of engine.kv.list({ prefix: ["sold by"] })) console.log(`  ${key[1]} sold ${value}`);
  console.log(`audit: ${sold.length} seats sold, ${records} receipts for ${receipts.size} different seats`);
  await engine.close();
  await rm(folder, { recursive: true });
  if (sold.length !== seats || records !== seats || receipts.size !== seats)
    throw new Error("the books do not balance");
  console.log("every seat was sold exactly once");
}

const [url, seller] = process.argv.slice(2);
if (url && seller) await sell(url, seller);
else await main();
