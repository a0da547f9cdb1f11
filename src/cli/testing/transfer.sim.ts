import type { Scenario } from "../../simulation/index.ts";

/** Money goes from one account to another, which must not lose any. */
function transfer(name: string, operation: Scenario["workload"]["operation"]): Scenario {
  return {
    name,
    workload: { clients: 3, operations: 12, operation },
    eventually: {
      "no <b>money</b> is lost": async ({ engine }) => {
        const [a, b] = await engine.kv.getMany<number>([["a"], ["b"]]);
        return (a?.value ?? 0) + (b?.value ?? 0) === 0;
      },
    },
    budget: { heal: "20s" },
  };
}

export const inTwoCommits = transfer("two commits", async ({ engine, log }) => {
  log("</script><img src=x onerror=alert(1)>");
  await engine.kv.add(["a"], -1);
  await engine.kv.add(["b"], 1);
});

export const inOneCommit = transfer("one commit", async ({ engine, name, operation }) => {
  if (name === "client-0" && operation === 0) process.stdout.write("a word to whoever debugs\n");
  await engine.transact((tx) => {
    tx.add(["a"], -1);
    tx.add(["b"], 1);
  });
});

export const notAScenario = { workload: "none" };
