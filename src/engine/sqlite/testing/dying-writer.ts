/** A writer's thread that answers nothing: it dies at the first flush of two, as if in the middle of the COMMIT of the first. */
import { parentPort, workerData } from "node:worker_threads";
import type { Request, WriterData } from "../wire.ts";

const { committing } = workerData as WriterData;
let first = 0;

parentPort?.postMessage({ id: 0, value: undefined });
parentPort?.on("message", (request: Request) => {
  if (first === 0) first = request.id;
  else {
    Atomics.store(committing, 0, first);
    process.exit(1);
  }
});
