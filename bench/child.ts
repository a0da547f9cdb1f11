import { closedLoop, type Round } from "./closed-loop.ts";
import {
  type Contestant,
  type ContestantName,
  type ContestantOptions,
  openContestant,
  type Workload,
} from "./contestant.ts";

/** What the parent asks of a contestant's process. One request at a time. */
export type Request =
  | { readonly do: "open"; readonly name: ContestantName; readonly options: ContestantOptions }
  | { readonly do: "load"; readonly keys: number }
  | { readonly do: "fill-log" | "fill-log-singly"; readonly records: number }
  | {
      readonly do: "run";
      readonly workload: Workload;
      readonly concurrency: number;
      readonly ms: number;
      readonly watchLoop: boolean;
    }
  | { readonly do: "close" };

/** `workloads`: those that the contestant knows, in the answer to "open". */
export type Reply =
  | { readonly ok: true; readonly workloads?: readonly Workload[]; readonly round?: Round }
  | { readonly ok: false; readonly missing: boolean; readonly error: string };

let contestant: Contestant | undefined;

process.on("message", async (request: Request) => {
  const reply: Reply = await answer(request).catch((error: Error & { code?: string }) => ({
    ok: false,
    missing: error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND",
    error: error.stack ?? String(error),
  }));
  process.send?.(reply);
  if (request.do === "close") process.disconnect();
});

// Busy or not, it does not outlive its parent.
process.on("disconnect", () => process.exit());

async function answer(request: Request): Promise<Reply> {
  if (request.do === "open") {
    contestant = await openContestant(request.name, request.options);
    return { ok: true, workloads: Object.keys(contestant.operations) as Workload[] };
  }
  if (contestant === undefined) throw new Error("the contestant is not open");
  switch (request.do) {
    case "load":
      await contestant.load(request.keys);
      return { ok: true };
    case "fill-log":
      await contestant.fillLog?.(request.records);
      return { ok: true };
    case "fill-log-singly":
      await contestant.fillLogSingly?.(request.records);
      return { ok: true };
    case "run": {
      const operation = contestant.operations[request.workload];
      if (operation === undefined) throw new Error(`the contestant has no workload ${request.workload}`);
      const { concurrency, ms, watchLoop } = request;
      return { ok: true, round: await closedLoop(operation, concurrency, ms, watchLoop) };
    }
    case "close":
      await contestant.close();
      return { ok: true };
  }
}
